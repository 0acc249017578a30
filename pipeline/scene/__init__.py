"""Which cube would an integral-field spectrograph have recorded, if the sky were this?

A cube of emission lines that move together is factored: how much light moves how fast on each
line of sight (`losvd`), where the optics put it (`optics`), and in which channels a moving line
appears (`optics.channel_response`). Each source is a small model of the first factor.
"""

"""Which galaxies does a campaign exclude, and which are kept?"""

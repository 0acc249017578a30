"""How does a bundle get to the archive, so that nothing goes wrong by accident?

`reserve` gets the DOIs, `plan` compares a bundle with the draft, `apply` does what was planned,
`publish` makes it public; each can be stopped at any moment and typed again. Only `transport`
talks to the network, only `records` knows the archive's API, and only `journal` remembers.
"""

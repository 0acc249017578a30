"""What do the ratios of emission lines say about the shock that makes them?

`grid` says what a grid of models is, the importers bring one in, and nobody fills its holes.
"""

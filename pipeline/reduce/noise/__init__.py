"""How large is the noise of a cube, how is it correlated, and can a likelihood rely on that?

Everything here needs numpy and scipy alone. `stage` is what the pipeline runs.
"""

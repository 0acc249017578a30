"""What would the archive hold if RBH-1 were this or that, and we knew which?

The simulated observation of GO-3149 and GO-17301, with its truth kept apart. Nothing here
imports the code that reduces or fits, so that recovering the truth means something.
"""

from pipeline.simulate.twin import TwinConfig, run

__all__ = ["TwinConfig", "run"]

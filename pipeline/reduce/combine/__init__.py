"""How do the dithers of a pointing become one cube, and what does resampling do to its noise?"""

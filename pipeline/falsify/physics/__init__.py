"""Which galaxies are possible, and how do they move?"""

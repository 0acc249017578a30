"""How do many workers try many galaxies, and lose none?"""

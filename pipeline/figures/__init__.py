"""What do the products look like?

Every figure is a function of products and comes with the table of the values it shows.
"""

"""Can an edge-on galaxy look like the line of light, and how much of what is possible is excluded?"""

"""Can an edge-on galaxy look like the line of light, and which ones are excluded?"""

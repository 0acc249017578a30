"""How do observed cubes become maps of lines?"""

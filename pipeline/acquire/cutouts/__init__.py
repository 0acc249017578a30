"""How does a part of a file come from the archive without the rest?"""

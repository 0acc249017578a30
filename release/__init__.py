"""How does a finished run become a bundle that can be deposited, and is a bundle still whole?"""

"""Where do the lines shine in every spaxel, how fast does the gas move, how turbulent is it?"""

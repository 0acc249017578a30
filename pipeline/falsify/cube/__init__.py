"""How probable is the observed cube, if the line of light is this galaxy?"""

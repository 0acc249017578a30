"""Where does the feature lie on the images of HST, and how bright is it?"""

"""What do the data say of the parameters of a model, and how far can that be trusted?"""

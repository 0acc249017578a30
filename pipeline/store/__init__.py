"""How are chains kept, so that what has been sampled is never sampled again?"""

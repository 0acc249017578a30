"""How do archive files become the products of the study? Stages, their graph and their runner."""

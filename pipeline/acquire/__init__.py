"""How does a declared selection of archive files become a local store with exactly those bytes?"""

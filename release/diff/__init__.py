"""In what do two versions of a bundle differ, and has anything become worse?

`release.diff.compare.compare(old, new)` takes two opened bundles and gives a `Difference`: files,
HDUs, pixels, cards, rows and cells of tables, values of documents, members of archives, and the
results of the checks. Files with the same sha256 are never opened.
"""

"""How are published grids of shock models read, each from the form it is published in?

Every importer gives the table as published (`GridFacts`); `assemble` finds its defects and makes
the grid. None of these grids is part of this package: users fetch them.
"""

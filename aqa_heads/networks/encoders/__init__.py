"""From the clips of a sample to one feature: the column 'feature encoding' of Table 1, and what may stand
there; one encoder a file.
"""

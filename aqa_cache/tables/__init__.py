"""Tables as people have them: which kind of file, which column is which, what a cell says."""

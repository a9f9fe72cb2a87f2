"""How fast extraction is on this machine, in its parts and beside other engines."""

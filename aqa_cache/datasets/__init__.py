"""Published datasets, converted to the annotations table of `docs/annotations.md`: one module each."""

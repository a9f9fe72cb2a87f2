"""The cache file of docs/schema.md: reader, writer, contents, verification, what its features mean."""

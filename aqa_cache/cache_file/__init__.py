"""The cache file of docs/schema.md: names and types, reader, writer, contents, verification, its meaning."""

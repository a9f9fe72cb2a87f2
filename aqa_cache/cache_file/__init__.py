"""The cache file of docs/schema.md: schema, reader, writer, contents, verification, feature spec."""

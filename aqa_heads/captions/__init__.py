"""The captioner, whole: vocabulary, networks, search, loss, metrics."""

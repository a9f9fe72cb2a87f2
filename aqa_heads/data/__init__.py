"""From a cache to batches: splits, leaks, labels, features of every view."""

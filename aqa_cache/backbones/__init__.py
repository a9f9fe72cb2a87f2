"""The networks by name, and how they run."""

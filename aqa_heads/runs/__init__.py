"""The run folder: its files, and how it comes to be whole."""

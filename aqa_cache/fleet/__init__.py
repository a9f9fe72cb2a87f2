"""Extraction beyond one disk: units of work, and parts that are put into a place and merged."""

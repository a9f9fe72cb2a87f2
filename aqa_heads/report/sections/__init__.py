"""The report, one section a file."""

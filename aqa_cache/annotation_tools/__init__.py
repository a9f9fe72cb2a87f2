"""What people annotate with: its exports as annotations tables."""

"""Features from other programs, and to them."""

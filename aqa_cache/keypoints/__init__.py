"""Joints that pose estimators found: their files, gaps, and features of them."""

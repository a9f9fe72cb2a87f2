"""Scoring of new videos with trained runs."""

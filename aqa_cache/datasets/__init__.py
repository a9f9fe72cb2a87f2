"""Data sets: a published one, MTL-AQA, and one that is made here, synthetic dives."""

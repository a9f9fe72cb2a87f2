"""From what the encoder gives to a score: one head a file."""

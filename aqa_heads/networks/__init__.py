"""The model but for its captioner: standardiser, encoders, heads."""

"""Training on cached features: the run, its epochs, losses, starting points, references."""

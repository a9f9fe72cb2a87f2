"""All that a run can be asked: Table 1, training, fine-tuning. Imports no torch."""

"""Numbers: predictions, metrics, intervals, floors, audit."""

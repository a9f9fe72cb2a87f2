"""How the epoch of a run is chosen on samples that were held out, and what comes of that choice."""

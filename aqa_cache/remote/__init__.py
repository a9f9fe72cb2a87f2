"""Files at URLs: listed, fetched to a bounded folder, and put whole."""

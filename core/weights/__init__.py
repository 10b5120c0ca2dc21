"""Files of weights: found, fetched, read, saved."""

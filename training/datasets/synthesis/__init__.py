"""Persons before backgrounds, rendered from a seed: bodies as ellipsoids and round cones with depth, hair as strands."""

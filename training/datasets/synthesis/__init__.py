"""Persons before backgrounds, rendered from a seed: bodies of ellipsoids and round cones, hair of strands."""

"""Persons in front of backgrounds, rendered from a seed: bodies made of ellipsoids and round cones, hair of strands."""

"""Measures mattes against the ground truth."""

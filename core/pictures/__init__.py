"""Arithmetic on pixels. Knows no network and no file."""

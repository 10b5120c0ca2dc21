"""Arithmetic on pixels, independent of networks and files."""

"""Finds, downloads, reads and saves weights files."""

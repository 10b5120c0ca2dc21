"""Whole jobs: a clip or a batch of pictures through the network and into files."""

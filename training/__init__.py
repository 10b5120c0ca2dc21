"""Training of the network by the staged recipe of the paper."""

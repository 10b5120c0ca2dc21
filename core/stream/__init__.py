"""One stream of frames: the network's memory, scene cuts, live video."""

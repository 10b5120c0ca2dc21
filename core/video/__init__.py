"""Files in and out: reading and writing videos and pictures."""

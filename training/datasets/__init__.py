"""The training data: published data sets in their own layouts on the disk, and one that is rendered on the fly."""

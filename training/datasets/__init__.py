"""Where training pictures come from: published data sets as they lie on disk, and one rendered on the fly."""

"""The network at its small size: converted, compiled, cached."""

"""How good mattes are, measured against the truth."""

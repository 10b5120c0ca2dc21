"""What install.py runs: sets up a Python environment, PyTorch, the package and its weights. Standard library only.

This file is read by Pythons that are too old for the others: nothing newer than Python 2.7 in it.
"""

OLDEST_PYTHON, NEWEST_PYTHON = (3, 10), (3, 13)  # what the tests run with; pyproject.toml says the same
PYTHONS = "Python 3.10 to 3.13"

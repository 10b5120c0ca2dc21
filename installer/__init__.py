"""The code of install.py: sets up a Python environment, PyTorch, the package and its weights. Standard library only.

Pythons that are too old for the other files run this one: it must be valid in Python 2.7.
"""

OLDEST_PYTHON, NEWEST_PYTHON = (3, 10), (3, 14)  # the versions that the tests run with; as in pyproject.toml
PYTHONS = "Python 3.10 to 3.14"

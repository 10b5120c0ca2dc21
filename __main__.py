"""`python -m rvm_studio`: the same command line as `rvm-studio`."""

import sys

if __name__ == "__main__":
    if not __package__:
        sys.exit("This folder is a package. Install it with `python install.py`, then run `python -m rvm_studio`.")

    from .core import program

    program()

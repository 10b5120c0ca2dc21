"""`python -m rvm_studio`: the command line, as `rvm-studio`."""

import sys

if __name__ == "__main__":
    if not __package__:
        sys.exit("This folder is a package: run `python -m rvm_studio`, once `python install.py` has installed it.")

    from .core import program

    program()

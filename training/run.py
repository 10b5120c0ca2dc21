"""Trains the network by the four-stage recipe, and evaluates it.

    python training/run.py                         all stages on synthetic persons, in minutes on a CPU
    torchrun --nproc_per_node 4 training/run.py    the same command on several cards

With no arguments it needs no data and no download. Ctrl-C writes a checkpoint; --resume goes on.
"""

import sys
from pathlib import Path

# As a script its own folder comes first, where `datasets` and others would hide packages of the same name.
if sys.path and Path(sys.path[0] or ".").resolve() == Path(__file__).resolve().parent:
    del sys.path[0]

try:
    from rvm_studio.core import tune_process

    if __name__ == "__main__":
        tune_process()  # before torch is imported
    from rvm_studio.training.run_options import main
except ImportError as error:
    installer = Path(__file__).resolve().parent.parent / "install.py"
    print(f'{error}. Run {sys.executable} "{installer}", then start this with the Python it names.', file=sys.stderr)
    sys.exit(2)

if __name__ == "__main__":
    sys.exit(main())

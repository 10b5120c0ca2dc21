"""Trains the network by the four-stage recipe and evaluates it.

    python training/run.py                         all stages on synthetic persons, in minutes on a CPU
    torchrun --nproc_per_node 4 training/run.py    the same on several GPUs

Without arguments it needs no data and no download. Ctrl-C writes a checkpoint; --resume resumes from it.
"""

import sys
from pathlib import Path

# When run as a script, its own folder is first on the path, where `datasets` would hide a package of the same name.
if sys.path and Path(sys.path[0] or ".").resolve() == Path(__file__).resolve().parent:
    del sys.path[0]

try:
    from rvm_studio.core import tune_process

    if __name__ == "__main__":
        tune_process()  # before torch is imported
    from rvm_studio.training.run_options import main
except ImportError as error:
    installer = Path(__file__).resolve().parent.parent / "install.py"
    print(f'{error}. Run {sys.executable} "{installer}", then use the Python that it names.', file=sys.stderr)
    sys.exit(2)

if __name__ == "__main__":
    sys.exit(main())

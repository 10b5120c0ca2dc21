"""Fuzzes readers, weights, states, the frame protocol and the nodes, with the inputs of tests/fuzz.

    python bench/fuzz.py --minutes 60

Prints for each target how many inputs were taken and how many refused. If anything else happens, it ends with the
smallest input that shows it. The last file that was read is kept if the process dies: its path is printed first.
Needs the extra `test`.
"""

import argparse
import importlib.util
import random
import sys
import time
import warnings
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BATCH = 100  # inputs of one target in turn


def targets():
    spec = importlib.util.spec_from_file_location("rvm_fuzz_targets", ROOT / "tests" / "fuzz" / "targets.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    parser.add_argument("--only", help="one target")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")  # of libraries, about damage
    module = targets()
    chosen = {name: t for name, t in module.TARGETS.items() if arguments.only in (None, name)}
    if not chosen:
        parser.error(f"no target is called {arguments.only!r}: {', '.join(module.TARGETS)}")
    print(f"seed {arguments.seed}, files in {module.PLACE}", flush=True)
    counts = {name: Counter() for name in chosen}
    end, turn = time.monotonic() + 60 * arguments.minutes, 0
    while time.monotonic() < end:
        for name, target in chosen.items():
            if not turn or time.monotonic() < end:
                counts[name] += module.explore(target, BATCH, arguments.seed + turn)
        turn += 1
    for name, found in counts.items():
        print(f"{name:<15} {found.total():>9,} inputs: {found['taken']:,} taken, {found['refused']:,} refused")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The torture suite: more than a hundred inputs, each through the command in a process of its own.

    python tests/torture/run.py [--only TEXT] [--keep FOLDER] [--write] [--list]

Every input is made by code; what is right comes from its maker, from ffprobe, and from a second decoder (ffmpeg's
command line, Pillow). --write puts the table of results into docs/formats.md. Needs ffmpeg and ffprobe.
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tests"))
os.environ["PYTHONPATH"] = os.pathsep.join(
    [str(ROOT / "tests"), *filter(None, [os.environ.get("PYTHONPATH")])]
)  # for the processes

from torture.inputs import all_inputs  # noqa: E402
from torture.one_input import result_of  # noqa: E402
from torture.table import write_table  # noqa: E402


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="inputs whose name or group contains this")
    parser.add_argument("--keep", type=Path, help="folder for the inputs and outputs")
    parser.add_argument("--write", action="store_true", help="write the table into docs/formats.md")
    parser.add_argument("--list", action="store_true", help="only list the inputs")
    arguments = parser.parse_args()
    items = [item for item in all_inputs() if arguments.only in item.name or arguments.only in item.group]
    if arguments.list:
        print("\n".join(f"{item.name:40} {item.group}: {item.about}" for item in items))
        return 0
    wrong, begin = {}, time.monotonic()
    with tempfile.TemporaryDirectory() as temporary:
        for number, item in enumerate(items):
            found = result_of(item, (arguments.keep or Path(temporary)) / f"{number:03}")
            if found:
                wrong[item.name] = found
            print(f"{'ok' if not found else 'WRONG':6} {item.name[:60]}: {'; '.join(found) or item.about}", flush=True)
    print(f"{len(items) - len(wrong)} of {len(items)} are right, in {time.monotonic() - begin:.0f} s")
    if arguments.write:
        write_table(items, wrong, ROOT / "docs" / "formats.md")
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())

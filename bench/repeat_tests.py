"""Runs the tests repeatedly, the last times on a machine that is kept busy, and reports which of them ever failed.

    python bench/repeat_tests.py [--times 5] [--loaded 2] [PYTEST ARGUMENT ...]

Without pytest arguments it runs the whole suite like `python install.py --test`. Loaded: a busy loop runs on every core
with a higher priority, so that the tests get about a quarter of the machine. A test that failed in some of the runs is
called flaky. The exit code is 1 if anything failed in any run.
"""

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from rvm_studio.installer.checks import ON_ALL_CORES

ROOT = Path(__file__).resolve().parent.parent
CORES = os.cpu_count() or 1
NICENESS = 5  # of the tests, which gives them a third of a busy loop's share
NO_TESTS = 5  # pytest's exit code if no test was selected
TEXT = 2000  # characters of a failure that are shown
# Ends when its standard input is closed, also if this script is killed.
LOOP = """
import os, threading
threading.Thread(target=lambda: (os.read(0, 1), os._exit(0)), daemon=True).start()
while True:
    pass
"""


@dataclass
class Run:
    """One run of the tests. failures: test name -> pytest's message."""

    loaded: bool
    tests: int = 0
    seconds: float = 0.0
    failures: dict[str, str] = field(default_factory=dict)


def commands(arguments: list[str]) -> list[list[str]]:
    """The arguments of each call of pytest in one run."""
    if arguments:
        return [arguments]
    return [["-m", "alone"], ["-m", "not alone", *ON_ALL_CORES]]


@contextlib.contextmanager
def busy_cores() -> Iterator[None]:
    loops = [subprocess.Popen([sys.executable, "-c", LOOP], stdin=subprocess.PIPE) for _ in range(CORES)]
    try:
        yield
    finally:
        for loop in loops:
            loop.communicate()


def run_once(arguments: list[str], loaded: bool, folder: Path) -> Run:
    """folder: for the output, one file per call of pytest."""
    run, started = Run(loaded), time.monotonic()
    with busy_cores() if loaded else contextlib.nullcontext():
        for number, command in enumerate(commands(arguments)):
            run_pytest(command, run, folder / f"{number}.txt")
    run.seconds = time.monotonic() - started
    return run


def run_pytest(arguments: list[str], run: Run, output: Path) -> None:
    report = output.with_suffix(".xml")
    command = [sys.executable, "-m", "pytest", *arguments, f"--junitxml={report}"]
    environment = {"OMP_WAIT_POLICY": "PASSIVE", **os.environ}
    nicer = (lambda: os.nice(NICENESS)) if run.loaded and os.name == "posix" else None
    with output.open("w") as file:
        done = subprocess.run(
            command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=file, stderr=file, preexec_fn=nicer
        )
    before = len(run.failures)
    for case in ElementTree.parse(report).iter("testcase") if report.exists() else ():
        run.tests += 1
        for fault in [*case.findall("failure"), *case.findall("error")]:
            name = f"{case.get('classname', '')}::{case.get('name', '')}".removeprefix("::")
            run.failures[name] = fault.text or fault.get("message", "")
    if done.returncode not in (0, NO_TESTS) and len(run.failures) == before:
        run.failures[f"pytest itself, exit code {done.returncode}"] = output.read_text(errors="replace")


def table(runs: list[Run]) -> str:
    lines = [f"{'run':>3}  {'machine':8}{'tests':>7}{'failed':>8}{'seconds':>9}"]
    for number, run in enumerate(runs, 1):
        machine = "loaded" if run.loaded else "as it is"
        lines.append(f"{number:>3}  {machine:8}{run.tests:>7}{len(run.failures):>8}{run.seconds:>9.0f}")
    counts = Counter(name for run in runs for name in run.failures)
    for name, count in counts.most_common():
        kind = "always fails" if count == len(runs) else f"flaky, failed {count} of {len(runs)} times"
        lines.append(f"{kind}: {name}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=5, help="number of runs (default 5)")
    parser.add_argument("--loaded", type=int, default=2, help="how many of them, the last ones, are loaded (default 2)")
    options, arguments = parser.parse_known_args()
    if not 0 <= options.loaded <= options.times or options.times < 1:
        parser.error(f"--times {options.times} --loaded {options.loaded}: expected 1 or more runs, and no more loaded")
    runs = []
    folder = Path(tempfile.mkdtemp(prefix="repeat-tests-"))
    for number in range(options.times):
        place = folder / str(number + 1)
        place.mkdir()
        runs.append(run_once(arguments, number >= options.times - options.loaded, place))
        for name, text in runs[-1].failures.items():
            print(f"\nRun {number + 1}: {name}\n{text[-TEXT:]}", flush=True)
        print(f"run {number + 1} of {options.times}: {len(runs[-1].failures)} failed", flush=True)
    print(f"\n{table(runs)}\npytest's output: {folder}")
    sys.exit(any(run.failures for run in runs))


if __name__ == "__main__":
    main()

"""How many small faults in `core`, introduced one at a time, the tests notice. Needs: pip install cosmic-ray pytest-cov

    python bench/mutation_score.py [--sample 200] [--seed 1] [--files core/clips/resume.py ...] [--tests tests/core]
                                   [--map FILE] [--save FILE] [--seconds 300]

A mutant is a copy of the package with one change: a number off by one, a comparison, operator or condition inverted, a
loop or call removed. The tests that run the changed line (never the slow ones) run until one fails. A mutant that no
test notices survives and is printed. Many survivors are not faults at all (a longer time limit, another message); the
others show behaviour without a test. Coverage measures which lines the tests run; --map saves that for later calls.
With the same --save FILE, a later call tries only the survivors of its sample again, to see what new tests notice.

The checkout is not changed: mutants are made in a copy of it in the temporary folder. Annotations, assertions and
TYPE_CHECKING blocks are not changed. Does not work on Windows, which has no fork.
"""

import argparse
import ast
import difflib
import functools
import hashlib
import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal
from xml.etree import ElementTree

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as tests/conftest.py does, before PyTorch is loaded

import av  # noqa: F401 - loaded for the forks
import coverage
import parso
import pytest
import torch  # noqa: F401
from cosmic_ray.ast import ast_nodes
from cosmic_ray.mutating import mutate_code
from cosmic_ray.operators.operator import Operator
from cosmic_ray.plugins import get_operator, operator_names

ROOT = Path(__file__).resolve().parent.parent
# operators that need arguments, or that change `==` to `is`, which is the same for most small numbers and names
_LEFT_OUT = re.compile("Variable(Replacer|Inserter)$|_(Eq|NotEq|Lt|LtE|Gt|GtE)_Is(Not)?$")


class RemoveCall(Operator):
    """Replaces a call whose result is not used, such as `os.fsync(file)`, by `pass`."""

    def mutation_positions(self, node):
        if node.type == "simple_stmt" and node.children[0].type in ("atom_expr", "power"):
            call = node.children[0].children[-1]
            if call.type == "trailer" and call.children[0].value == "(":
                yield node.children[0].start_pos, node.children[0].end_pos

    def mutate(self, node, index):
        old = node.children[0]
        node.children[0] = parso.python.tree.Keyword("pass", old.start_pos, old.get_first_leaf().prefix)
        return node

    @classmethod
    def examples(cls):
        return ()


@dataclass(frozen=True)
class Place:
    """Where one kind of change can be made. `name` does not depend on the line number, so that unrelated changes of the
    file do not change the sample."""

    file: str  # relative to the root
    lines: tuple[int, int]  # first and last
    in_function: bool  # otherwise it runs on import, in whichever test imports the module first
    name: str
    variants: tuple[tuple[str, int], ...]  # (operator, its occurrence): `+` has eleven others


@dataclass(frozen=True)
class Mutant:
    place: Place
    operator: str
    before: str
    after: str
    code: str  # the whole file

    def __str__(self) -> str:
        return f"{self.place.file}:{self.place.lines[0]} {self.operator}\n- {self.before}\n+ {self.after}"


@functools.cache
def operators() -> dict[str, Operator]:
    names = [name for name in operator_names() if not _LEFT_OUT.search(name)]
    return {name.split("/")[1]: get_operator(name)() for name in names} | {"RemoveCall": RemoveCall()}


def untouched(source: str) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """((line, column) of the start, of the end) of annotations, assertions and TYPE_CHECKING blocks."""
    parts: list[ast.AST | None] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.AnnAssign | ast.arg):
            parts.append(node.annotation)
        elif isinstance(node, ast.FunctionDef):
            parts.append(node.returns)
        elif isinstance(node, ast.Assert) or (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)):
            parts.append(node)
    return [((p.lineno, p.col_offset), (p.end_lineno, p.end_col_offset)) for p in parts if p is not None]


def within_functions(source: str) -> set[int]:
    """The lines that run when a function is called."""
    functions = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef)]
    return {line for node in functions for line in range(node.body[0].lineno, (node.end_lineno or 0) + 1)}


def places_of(file: str) -> list[Place]:
    source = (ROOT / file).read_text(encoding="utf-8")
    lines, skipped, nodes = source.splitlines(), untouched(source), list(ast_nodes(parso.parse(source)))
    found = defaultdict(list)
    for operator, rule in operators().items():
        positions = [position for node in nodes for position in rule.mutation_positions(node)]
        for occurrence, (begin, end, *_) in enumerate(positions):
            if not any(first <= begin < last for first, last in skipped):
                found[operator.split("_")[0], begin, end].append((operator, occurrence))
    places, seen, inner = [], Counter(), within_functions(source)
    for (family, begin, end), variants in sorted(found.items()):
        name = f"{file} {family} {lines[begin[0] - 1].strip()}"
        seen[name] += 1
        span = (begin[0], end[0])
        places.append(Place(file, span, begin[0] in inner, f"{name} {seen[name]}", tuple(variants)))
    return places


def mutant_at(place: Place) -> Mutant | None:
    """One of the place's variants, always the same one."""
    source = (ROOT / place.file).read_text(encoding="utf-8")
    operator, occurrence = place.variants[digest(place.name) % len(place.variants)]
    code = mutate_code(source, operators()[operator], occurrence)
    if code is None or code == source:
        return None
    old, new = source.splitlines(), code.splitlines()
    codes = difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
    _, a, b, c, d = next(change for change in codes if change[0] != "equal")
    return Mutant(place, operator, "\n".join(old[a:b]), "\n".join(new[c:d]), code)


def digest(text: str) -> int:
    return int(hashlib.sha256(text.encode()).hexdigest(), 16)


def sample(files: Sequence[str], count: int, seed: int) -> list[Mutant]:
    places = [place for file in files for place in places_of(file)]
    places.sort(key=lambda place: digest(f"{seed} {place.name}"))
    return list(islice(filter(None, map(mutant_at, places)), count))


class Copy:
    """A copy of the package for the mutants, which is imported instead of the installed one."""

    def __init__(self, folder: Path):
        self.root = folder / "rvm_studio"
        listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        for name in subprocess.run(listing, cwd=ROOT, capture_output=True, check=True).stdout.decode().split("\0"):
            if name and (ROOT / name).is_file():
                (self.root / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(ROOT / name, self.root / name)
        self._folder = folder
        self._environment = {
            "RVM_REFERENCE": os.environ.get("RVM_REFERENCE") or str(ROOT.parent / "shared" / "reference"),
            "PYTHONPATH": str(folder),  # for processes that tests start
            "PYTHONDONTWRITEBYTECODE": "1",  # a cached file is valid for the same size and second, even for a mutant
            "RVM_MODELS_DIR": str(folder / "models"),
            "COVERAGE_FILE": str(folder / "coverage"),
        }

    def pytest(self, arguments: Sequence[str], seconds: float | None = None) -> int | None:
        """Runs pytest in a fork, in which PyTorch is loaded already. Returns the exit code, or None after a timeout."""
        child = os.fork()
        if child == 0:
            code = 70
            try:
                os.setsid()
                os.environ.update(self._environment)
                os.chdir(self.root)
                sys.path.insert(0, str(self._folder))
                sys.dont_write_bytecode = True
                for stream in (1, 2):
                    os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
                code = pytest.main(
                    ["-q", "-p", "no:cacheprovider", f"--basetemp={self._folder / 'pytest'}", *arguments]
                )
            finally:
                os._exit(code)
        until = time.monotonic() + (math.inf if seconds is None else seconds)
        while True:
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                return os.waitstatus_to_exitcode(status)
            if time.monotonic() > until:
                os.killpg(child, signal.SIGKILL)
                os.waitpid(child, 0)
                return None
            time.sleep(0.1)

    def covering(self, tests: Sequence[str], known: dict) -> dict:
        """What the passing tests run: {"digests": {file: digest}, "seconds": {test: s}, "lines": {file: {line:
        [tests]}}}. known: an earlier result; it is reused for test files that have not changed, if core has not changed
        either."""
        files = {file for test in tests for file in ([self.root / test] if test.endswith(".py") else [])}
        files |= {file for test in tests for file in (self.root / test).rglob("test_*.py")}
        digests = {file.relative_to(self.root).as_posix(): str(digest(file.read_text("utf-8"))) for file in files}
        digests["core"] = str(digest("".join(p.read_text("utf-8") for p in sorted((self.root / "core").rglob("*.py")))))
        if known.get("digests", {}).get("core") != digests["core"]:
            known = {"digests": {}, "seconds": {}, "lines": {}}
        stale = sorted(name for name in digests.keys() - {"core"} if known["digests"].get(name) != digests[name])
        kept = {test: s for test, s in known["seconds"].items() if test.split("::")[0] in digests.keys() - {*stale}}
        new, new_lines = self._measured(stale) if stale else ({}, {})
        seconds, lines = kept | new, defaultdict(lambda: defaultdict(list))
        for found in (known["lines"], new_lines):
            for file, by_line in found.items():
                for line, names in by_line.items():
                    lines[file][line] += [test for test in names if test in (new if found is new_lines else kept)]
        return {"digests": digests, "seconds": seconds, "lines": lines}

    def _measured(self, files: Sequence[str]) -> tuple[dict, dict]:
        report, settings = (self._folder / name for name in ("report.xml", "settings"))
        settings.touch()
        measure = ["--cov=core", f"--cov-config={settings}", "--cov-context=test", "--cov-report="]
        names = [f"--junitxml={report}", "-o", "junit_family=xunit1"]
        self.pytest([*files, *measure, *names, "-m", "not slow and not alone"])
        seconds, lines = {}, {}
        for case in ElementTree.parse(report).iter("testcase"):
            if not any(case.findall(kind) for kind in ("failure", "error", "skipped")):
                seconds[f"{case.get('file')}::{case.get('name')}"] = float(case.get("time", 0))
        measured = coverage.CoverageData(self._environment["COVERAGE_FILE"])
        measured.read()
        for path in measured.measured_files():
            by_line = {
                str(line): sorted({test for context in contexts if (test := context.split("|")[0]) in seconds})
                for line, contexts in measured.contexts_by_lineno(path).items()
            }
            lines[Path(path).relative_to(self.root).as_posix()] = by_line
        return seconds, lines


def tests_for(mutant: Mutant, covered: dict) -> list[str]:
    """The tests that run the mutant's lines, the quickest first. For lines that run on import, all tests of the module;
    if there are none, those of the folder."""
    lines = covered["lines"].get(mutant.place.file, {})
    begin, last = mutant.place.lines
    tests = {test for line in range(begin, last + 1) for test in lines.get(str(line), [])}
    if not tests or not mutant.place.in_function:
        folder = Path(mutant.place.file).parent.as_posix()
        tests |= {test for named in lines.values() for test in named}
        if folder != "core":  # coverage does not see code that numba compiles
            tests |= {test for test in covered["seconds"] if test.startswith(f"tests/{folder}/")}
    return sorted(tests, key=lambda test: (covered["seconds"][test], test))


def end_of(mutant: Mutant, copy: Copy, covered: dict, seconds: float) -> Literal["killed", "out of time", ""]:
    """How the tests noticed the mutant; "" if they did not."""
    tests, file = tests_for(mutant, covered), copy.root / mutant.place.file
    before = file.read_text(encoding="utf-8")
    file.write_text(mutant.code, encoding="utf-8")
    try:
        for some in (tests[:20], tests[20:]):  # the first tests notice most faults, and the others take minutes
            code = copy.pytest(["-x", "-p", "no:cov", *some], seconds) if some else 0
            if code != 0:
                return "out of time" if code is None else "killed"
    finally:
        file.write_text(before, encoding="utf-8")
    return ""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sample", type=int, default=200, metavar="N", help="number of mutants (default: 200)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--files", nargs="+", metavar="FILE", help="relative to the root (default: all of core)")
    parser.add_argument("--tests", nargs="+", default=["tests/core"], metavar="PATH")
    parser.add_argument("--map", type=Path, help="saves the coverage; only changed test files are measured again")
    parser.add_argument("--save", type=Path, help="saves which mutants were killed; they are not tried again")
    parser.add_argument("--seconds", type=float, default=300, help="time limit for a mutant's tests (default: 300)")
    options = parser.parse_args(arguments)
    files = options.files or sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "core").rglob("*.py"))
    chosen = sample(files, options.sample, options.seed)
    ends: dict[str, str] = _kept(options.save)
    survivors = []
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        copy = Copy(Path(folder))
        covered = copy.covering(options.tests, _kept(options.map))
        if options.map:
            options.map.write_text(json.dumps(covered))
        print(f"{len(covered['seconds'])} tests, {len(chosen)} mutants", flush=True)
        for number, mutant in enumerate(chosen, 1):
            started, name = time.monotonic(), mutant.place.name
            if name not in ends and (end := end_of(mutant, copy, covered, options.seconds)):
                ends[name] = end
                if options.save:
                    options.save.write_text(json.dumps(ends, indent=0))
            elif name not in ends:
                survivors.append(mutant)
                count = len(tests_for(mutant, covered))
                print(f"\n{number} survives {count} tests, {time.monotonic() - started:.0f} s: {mutant}", flush=True)
    late = sum(ends.get(mutant.place.name) == "out of time" for mutant in chosen)
    unseen = sum(not tests_for(mutant, covered) for mutant in survivors)
    killed = len(chosen) - len(survivors)
    share = 100 * killed / max(1, len(chosen))
    print(f"\n{killed} of {len(chosen)} noticed ({share:.1f} %), {late} of them only by a timeout")
    print(f"{len(survivors)} survive, {unseen} of them in lines that no test runs")
    return 0


def _kept(file: Path | None) -> dict:
    return json.loads(file.read_text()) if file and file.exists() else {}


if __name__ == "__main__":
    sys.exit(main())

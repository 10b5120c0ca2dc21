"""How many small faults, put into `core` one at a time, the tests notice. Needs: pip install cosmic-ray pytest-cov

    python bench/mutation_score.py [--sample 200] [--seed 1] [--files core/resume.py ...] [--tests tests/core]
                                   [--map FILE] [--save FILE] [--seconds 120]

A mutant is a copy of the package with one change: a number one off, a comparison, operator or condition turned, a loop
or a call left out. The tests that run the changed line (the slow ones never) run on it until one fails; a mutant that
none of them notices survives and is printed. What the tests run is measured once, under coverage; --map keeps that for
later calls. --save keeps the mutants that were killed: a later call with the same FILE does not try them again, and the
score still counts them, so after new tests it shows what they kill of the same sample.

Nothing in the checkout changes: mutants live in a copy of it in the temporary folder. Annotations, assertions and
TYPE_CHECKING blocks are left alone.
"""

import argparse
import ast
import contextlib
import difflib
import functools
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from xml.etree import ElementTree

import coverage
import parso
from cosmic_ray.ast import ast_nodes
from cosmic_ray.mutating import mutate_code
from cosmic_ray.operators.operator import Operator
from cosmic_ray.plugins import get_operator, operator_names

ROOT = Path(__file__).resolve().parent.parent
_QUICKLY = ("-x", "-p", "no:cov")
# they need arguments; `is` for `==` is the same for most small numbers and names
_LEFT_OUT = re.compile("Variable(Replacer|Inserter)$|_(Eq|NotEq|Lt|LtE|Gt|GtE)_Is(Not)?$")


class RemoveCall(Operator):
    """A call whose result nobody uses, such as `os.fsync(file)`, becomes `pass`."""

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
    """Where one kind of change can be made. `name` is the same wherever the line stands, so that unrelated changes of
    the file keep the sample."""

    file: str  # from the root
    lines: tuple[int, int]  # first and last
    name: str
    variants: tuple[tuple[str, int], ...]  # (operator, its occurrence): `+` has eleven others


@dataclass(frozen=True)
class Mutant:
    place: Place
    operator: str
    before: str
    after: str
    code: str  # of the whole file


@functools.cache
def operators() -> dict[str, Operator]:
    names = [name for name in operator_names() if not _LEFT_OUT.search(name)]
    return {name.split("/")[1]: get_operator(name)() for name in names} | {"RemoveCall": RemoveCall()}


def untouched(source: str) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """(line, column) from and to of annotations, assertions and what only type checkers read."""
    parts: list[ast.AST | None] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.AnnAssign | ast.arg):
            parts.append(node.annotation)
        elif isinstance(node, ast.FunctionDef):
            parts.append(node.returns)
        elif isinstance(node, ast.Assert) or (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)):
            parts.append(node)
    return [((p.lineno, p.col_offset), (p.end_lineno, p.end_col_offset)) for p in parts if p is not None]


def places_of(file: str) -> list[Place]:
    source = (ROOT / file).read_text(encoding="utf-8")
    lines, skipped, nodes = source.splitlines(), untouched(source), list(ast_nodes(parso.parse(source)))
    found = defaultdict(list)
    for operator, rule in operators().items():
        positions = [position for node in nodes for position in rule.mutation_positions(node)]
        for occurrence, (begin, end, *_) in enumerate(positions):
            if not any(first <= begin < last for first, last in skipped):
                found[operator.split("_")[0], begin, end].append((operator, occurrence))
    places, seen = [], Counter()
    for (family, begin, end), variants in sorted(found.items()):
        name = f"{file} {family} {lines[begin[0] - 1].strip()}"
        seen[name] += 1
        places.append(Place(file, (begin[0], end[0]), f"{name} {seen[name]}", tuple(variants)))
    return places


def mutant_at(place: Place) -> Mutant | None:
    """One of the place's variants, always the same."""
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
    """The package in a folder where mutants may live, found before the installed one."""

    def __init__(self, folder: Path):
        self.root = folder / "rvm_studio"
        listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        for name in subprocess.run(listing, cwd=ROOT, capture_output=True, check=True).stdout.decode().split("\0"):
            if name and (ROOT / name).is_file():
                (self.root / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(ROOT / name, self.root / name)
        self._folder = folder
        self.environment = {
            "RVM_REFERENCE": str(ROOT.parent / "shared" / "reference"),
            **os.environ,
            "PYTHONPATH": str(folder),
            "PYTHONDONTWRITEBYTECODE": "1",  # Python compares a file's second and size, which a mutant may share
            "RVM_MODELS_DIR": str(folder / "models"),
            "PYTHONHASHSEED": "0",
        }

    def pytest(self, arguments: Sequence[str], seconds: float | None = None) -> int | None:
        """The exit code; None where it ran out of time."""
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
        process = subprocess.Popen(
            [*command, f"--basetemp={self._folder / 'pytest'}", *arguments],
            cwd=self.root, env=self.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=os.name == "posix",
        )  # fmt: skip
        try:
            return process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None
        finally:
            if process.poll() is None:
                end(process)

    def covering(self, tests: Sequence[str]) -> dict:
        """{"seconds": {test: s}, "lines": {file: {line: [tests]}}} of the tests that pass."""
        data, report, settings = (self._folder / name for name in ("coverage", "report.xml", "settings"))
        settings.touch()
        self.environment["COVERAGE_FILE"] = str(data)
        measure = ["--cov=core", f"--cov-config={settings}", "--cov-context=test", "--cov-report="]
        names = [f"--junitxml={report}", "-o", "junit_family=xunit1"]
        self.pytest([*tests, *measure, *names, "-m", "not slow and not alone"])
        seconds = {}
        for case in ElementTree.parse(report).iter("testcase"):
            if not any(case.findall(kind) for kind in ("failure", "error", "skipped")):
                seconds[f"{case.get('file')}::{case.get('name')}"] = float(case.get("time", 0))
        measured, lines = coverage.CoverageData(str(data)), {}
        measured.read()
        for path in measured.measured_files():
            with contextlib.suppress(ValueError):
                file = Path(path).relative_to(self.root).as_posix()
                if file.startswith("core/"):
                    lines[file] = {
                        line: sorted({test for c in contexts if (test := c.split("|")[0]) in seconds})
                        for line, contexts in measured.contexts_by_lineno(path).items()
                    }
        return {"seconds": seconds, "lines": lines}


def end(process: subprocess.Popen) -> None:
    """With all that it started."""
    if os.name == "posix":
        os.killpg(process.pid, 9)
    else:
        process.kill()
    process.wait()


def tests_for(mutant: Mutant, covered: dict) -> list[str]:
    """Those that run the mutant's lines, the quickest first; where a line runs at import alone, all of its module."""
    lines = covered["lines"].get(mutant.place.file, {})
    begin, last = mutant.place.lines
    tests = {test for line in range(begin, last + 1) for test in lines.get(str(line), [])}
    tests = tests or {test for named in lines.values() for test in named}
    return sorted(tests, key=lambda test: (covered["seconds"][test], test))


def is_killed(mutant: Mutant, copy: Copy, covered: dict, seconds: float) -> bool:
    tests, place = tests_for(mutant, covered), copy.root / mutant.place.file
    if not tests:
        return False
    before = place.read_text(encoding="utf-8")
    place.write_text(mutant.code, encoding="utf-8")
    try:
        few = tests[:20]  # most faults show at once, and the rest takes minutes
        if copy.pytest([*_QUICKLY, *few], seconds) != 0:
            return True
        return len(tests) > len(few) and copy.pytest([*_QUICKLY, *tests[len(few) :]], seconds) != 0
    finally:
        place.write_text(before, encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sample", type=int, default=200, metavar="N", help="mutants (default: 200)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--files", nargs="+", metavar="FILE", help="from the root (default: all of core)")
    parser.add_argument("--tests", nargs="+", default=["tests/core"], metavar="PATH")
    parser.add_argument("--map", type=Path, help="what the tests run: read where it is there, else measured and kept")
    parser.add_argument("--save", type=Path, help="the mutants that were killed")
    parser.add_argument(
        "--seconds", type=float, default=120, help="of the tests of one mutant; then it counts as killed"
    )
    options = parser.parse_args(arguments)
    files = options.files or sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "core").rglob("*.py"))
    chosen = sample(files, options.sample, options.seed)
    killed = set(json.loads(options.save.read_text()) if options.save and options.save.exists() else [])
    survivors = []
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        copy = Copy(Path(folder))
        if options.map and options.map.exists():
            covered = json.loads(options.map.read_text())
        else:
            covered = json.loads(json.dumps(copy.covering(options.tests)))
            print(f"{len(covered['seconds'])} tests were measured", flush=True)
            if options.map:
                options.map.write_text(json.dumps(covered))
        for number, mutant in enumerate(chosen, 1):
            started = time.monotonic()
            if mutant.place.name in killed:
                continue
            if is_killed(mutant, copy, covered, options.seconds):
                killed.add(mutant.place.name)
                if options.save:
                    options.save.write_text(json.dumps(sorted(killed), indent=0))
                continue
            survivors.append(mutant)
            print(
                f"\n{number} survives {len(tests_for(mutant, covered))} tests, {time.monotonic() - started:.0f} s: "
                f"{mutant.place.file}:{mutant.place.lines[0]} {mutant.operator}\n- {mutant.before}\n+ {mutant.after}",
                flush=True,
            )
    count = len(chosen) - len(survivors)
    print(f"\n{count} of {len(chosen)} killed: {100 * count / max(1, len(chosen)):.1f} %, {len(survivors)} survive")
    print(f"{sum(not tests_for(mutant, covered) for mutant in survivors)} of these in modules that no test runs")
    return 0


if __name__ == "__main__":
    sys.exit(main())

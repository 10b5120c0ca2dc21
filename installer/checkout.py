"""RVM Studio's folder: its location, its version, its requirements."""

from __future__ import annotations

import operator
import os
import re
from pathlib import Path

HERE = Path(os.path.abspath(__file__)).parent.parent  # not resolved: custom_nodes may contain a link to this folder


def in_comfyui() -> bool:
    return HERE.parent.name == "custom_nodes"


def core_requirements() -> list:
    """[(name, bounds)] of requirements.txt."""
    return parse_requirements((HERE / "requirements.txt").read_text(encoding="utf-8").splitlines())


def all_extras() -> list:
    """[(name, bounds)] of everything beyond the core that an option may install, or that speeds up a CPU."""
    return [x for extra in ("fast", "export", "train", "test") for x in extra_requirements(extra)]


def extra_requirements(extra: str) -> list:
    """[(name, bounds)] of an extra in pyproject.toml, read with a pattern because Python 3.10 has no TOML parser."""
    block = found(rf"(?ms)^{extra} = \[\n(.*?)^\]", pyproject()).group(1)
    return parse_requirements(re.findall(r'^\s*"([^"]+)"', block, re.MULTILINE))


def parse_requirements(lines: list) -> list:
    lines = [line.partition("#")[0].strip() for line in lines]
    return [found(r"^([\w.-]+)\s*(.*)", line).groups() for line in lines if line]


def found(pattern: str, text: str) -> re.Match:
    match = re.search(pattern, text)
    assert match is not None, (pattern, text)
    return match


def pyproject() -> str:
    return (HERE / "pyproject.toml").read_text(encoding="utf-8")


def project_version() -> str:
    return found(r'(?m)^version = "(.+)"', pyproject()).group(1)


def release(version: str) -> tuple:
    """(2, 13) for "2.13.0+cpu": the numbers before any suffix, without trailing zeros, so that 2.4 equals 2.4.0."""
    numbers = [int(number) for number in found(r"^\d+(\.\d+)*", version).group().split(".")]
    return tuple(numbers[: max((place for place, number in enumerate(numbers, 1) if number), default=0)])


def satisfies(version: str | None, bounds: str) -> bool:
    """Whether an installed version meets bounds such as ">=14.2,<19". None (not installed) never does."""
    signs = {"==": operator.eq, "!=": operator.ne, ">=": operator.ge, "<=": operator.le}
    signs.update({">": operator.gt, "<": operator.lt})
    clauses = re.findall(r"([=!<>]+)\s*([\d.]+)", bounds)
    return version is not None and all(signs[sign](release(version), release(bound)) for sign, bound in clauses)

"""The form of a row in the table of options (option_table.py), and the page that is made of the table."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal[
    "flag",
    "text",
    "choice",
    "file",
    "folder",
    "number",
    "count",
    "seconds",
    "rate",
    "quality",
    "bitrate",
    "ratio",
    "threshold",
]
SAME: Any = object()
"""As the option itself."""


@dataclass(frozen=True, kw_only=True)
class Door:
    """How one door offers an option where its form differs. because: why its default or range is another one."""

    name: str
    default: Any = SAME
    low: Any = SAME
    high: Any = SAME
    because: str = ""


@dataclass(frozen=True, kw_only=True)
class Option:
    """One option.

    name: of the keyword of `rvm_studio.matte`, unless `python` is another one ("edges.grow": a field of `edges`; None:
    not there). command: the option of `rvm-studio matte`; "": made of the name; None: not there. low, high: the range,
    both ends included; None: open. default: the command line's, and Python's unless `python_default` is given.
    nodes, obs: the widget of the ComfyUI nodes, the setting of the OBS filter.
    """

    name: str
    kind: Kind
    group: str
    help: str
    default: Any = None
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    metavar: str = ""
    command: str | None = ""
    short: str = ""
    python: str | None = ""
    python_default: Any = SAME
    nodes: Door | None = None
    obs: Door | None = None

    @property
    def flag(self) -> str | None:
        """The command line's option, such as "--warm-up"."""
        return f"--{self.name.replace('_', '-')}" if self.command == "" else self.command

    @property
    def keyword(self) -> str | None:
        """The keyword of `rvm_studio.matte`, such as "warm_up" or "edges.grow"."""
        return self.name if self.python == "" else self.python


def markdown(groups: Mapping[str, str], options: Iterable[Option]) -> str:
    """The tables of docs/options.md, one for each group (name -> title) of the command line."""
    options, parts = list(options), []
    for group, title in groups.items():
        if not any(option.group == group and option.flag for option in options):
            continue
        lines = [f"### {title[0].upper()}{title[1:]}", "", "| option | Python | what it does |", "|---|---|---|"]
        lines += [_row(option) for option in options if option.group == group and option.flag]
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def _row(option: Option) -> str:
    name = f"{option.short}, {option.flag}" if option.short else option.flag
    value = option.metavar or "|".join(option.choices) or ("" if option.kind == "flag" else option.kind.upper())
    keyword = f"`{option.keyword}`" if option.keyword else "–"
    cells = f"`{f'{name} {value}'.strip()}`", keyword, f"{option.help[0].upper()}{option.help[1:].rstrip('.')}."
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"

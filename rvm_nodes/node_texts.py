"""Writes the nodes' texts to where ComfyUI reads them: `python -m rvm_studio.rvm_nodes.node_texts` generates
locales/en/nodeDefs.json and the tables at the end of every help page in web/docs from the nodes.

Translators copy the former to locales/<language>. Tests compare both with the nodes.
"""

import json
from pathlib import Path
from typing import Any

from ..core import atomic_file
from . import NODES

ROOT = Path(__file__).resolve().parent.parent
LOCALE = ROOT / "locales" / "en" / "nodeDefs.json"
PAGES = ROOT / "web" / "docs"
TABLES = "## Inputs\n"  # everything above this line of a page is written by hand


def widgets(node: Any) -> dict[str, tuple]:
    """All inputs that a user sees, in display order."""
    inputs = node.INPUT_TYPES()
    return {**inputs["required"], **inputs.get("optional", {})}


def outputs(node: Any) -> list[tuple[str, str, str]]:
    """(name, type, tooltip) of every output."""
    tooltips = getattr(node, "OUTPUT_TOOLTIPS", [""] * len(node.RETURN_TYPES))
    return list(zip(node.RETURN_NAMES, node.RETURN_TYPES, tooltips, strict=True))


def locale() -> dict[str, dict]:
    """The content of nodeDefs.json."""
    return {
        node.__name__: {
            "display_name": node.DISPLAY_NAME,
            "description": node.DESCRIPTION,
            "inputs": {
                key: {"name": key, "tooltip": options["tooltip"]} for key, (_, options) in widgets(node).items()
            },
            "outputs": {
                str(index): {"name": name, **({"tooltip": tooltip} if tooltip else {})}
                for index, (name, _, tooltip) in enumerate(outputs(node))
            },
        }
        for node in NODES
    }


def tables(node: Any) -> str:
    """The end of a help page: the tables of inputs and outputs."""
    optional = node.INPUT_TYPES().get("optional", {})
    lines = [TABLES, "| input | type | default | what it does |", "|---|---|---|---|"]
    for key, (kind, options) in widgets(node).items():
        type_name = "choice" if isinstance(kind, list) else kind
        default = options.get("default", "")
        shown = f"`{default}`" if default != "" else "optional" if key in optional else ""
        lines.append(f"| `{key}` | {type_name} | {shown} | {options['tooltip']} |")
    lines += ["", "## Outputs\n", "| output | type | what it is |", "|---|---|---|"]
    lines += [f"| `{name}` | {kind} | {tooltip} |" for name, kind, tooltip in outputs(node)]
    return "\n".join(lines) + "\n"


def page(node: Any) -> str:
    """A help page with regenerated tables."""
    return (PAGES / f"{node.__name__}.md").read_text(encoding="utf-8").split(TABLES)[0] + tables(node)


def write(path: Path, text: str) -> None:
    with atomic_file(path) as partial:
        partial.write_text(text, encoding="utf-8", newline="\n")


def main() -> None:
    write(LOCALE, json.dumps(locale(), indent=2, ensure_ascii=False) + "\n")
    for node in NODES:
        write(PAGES / f"{node.__name__}.md", page(node))


if __name__ == "__main__":
    main()

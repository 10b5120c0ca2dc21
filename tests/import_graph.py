"""The import graph of the core: which room (a folder or file of `core/`) imports from which, and how often.

    python tests/import_graph.py           the rooms, lowest first, with what each imports from
    python tests/import_graph.py --types   with imports for type checkers alone, which the graph leaves out otherwise

tests/core/test_layers.py holds the order of the rooms.
"""

import ast
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

CORE = Path(__file__).resolve().parent.parent / "core"


def room_of(module: str) -> str:
    """The room of a module below `core`, such as "video.reader"; "" for the core's own face."""
    return module.partition(".")[0]


def arrows(core: Path = CORE, types: bool = False) -> Counter[tuple[str, str]]:
    """How often each room imports from each other one; the face, which names all of them, is left out."""
    found: Counter[tuple[str, str]] = Counter()
    for path in sorted(core.rglob("*.py")):
        parts = path.relative_to(core).with_suffix("").parts
        package = parts[:-1]
        room = room_of(".".join(part for part in parts if part != "__init__"))
        for target in imports(ast.parse(path.read_text(encoding="utf-8")), package, types):
            if room and (other := room_of(target)) and other != room:
                found[room, other] += 1
    return found


def imports(tree: ast.AST, package: tuple[str, ...], types: bool) -> Iterator[str]:
    """The modules below `core` that a module of `package` imports from, also inside functions."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test) and not types:
            continue
        if isinstance(node, ast.ImportFrom) and 0 < node.level <= len(package) + 1:
            base = package[: len(package) + 1 - node.level]
            if node.module:
                yield ".".join((*base, node.module))
            else:
                yield from (".".join((*base, alias.name)) for alias in node.names)
        yield from imports(node, package, types)


def floors(found: Counter[tuple[str, str]]) -> list[list[str]]:
    """The rooms by how high they stand: the lowest import from no other. Raises ValueError where there is a circle."""
    rooms = {room for arrow in found for room in arrow}
    below = {room: {target for source, target in found if source == room} for room in rooms}
    result: list[list[str]] = []
    while rooms:
        floor = sorted(room for room in rooms if not below[room] & rooms)
        if not floor:
            raise ValueError(f"a circle of imports among {', '.join(sorted(rooms))}")
        result.append(floor)
        rooms -= set(floor)
    return result


def main() -> None:
    found = arrows(types="--types" in sys.argv[1:])
    for number, floor in enumerate(floors(found)):
        for room in floor:
            below = ", ".join(f"{b} {n}" for (a, b), n in sorted(found.items()) if a == room)
            print(f"{number}  {room:11} {below or '-'}")
    rooms = {room for arrow in found for room in arrow}
    print(f"{len(rooms)} rooms, {len(floors(found))} floors, {len(found)} arrows, no circle")


if __name__ == "__main__":
    main()

"""The log of a run: scalars.jsonl and, if TensorBoard is installed, its files."""

# h, w

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core import atomic_file

if TYPE_CHECKING:  # the report must not need torch
    from torch import Tensor

SCALARS = "scalars.jsonl"


class RunLog:
    """One line of JSON per step, appended: {"stage", "step", "global_step", then "low/pha_l1" and so on}."""

    def __init__(self, run: Path, global_step: int) -> None:
        """global_step: where the run starts or resumes. Lines from that step on are removed, because it runs again."""
        self.path = run / SCALARS
        kept = [line for line in read_scalars(run) if line["global_step"] < global_step]
        with atomic_file(self.path) as partial:
            partial.write_text("".join(json.dumps(line) + "\n" for line in kept), encoding="utf-8")
        self._file = self.path.open("a", encoding="utf-8", buffering=1)
        self._board = _tensorboard(run, global_step)

    def scalars(self, stage: int, step: int, global_step: int, values: dict[str, float]) -> None:
        line = {"stage": stage, "step": step, "global_step": global_step, **values}
        self._file.write(json.dumps(line) + "\n")
        if self._board is not None:
            for name, value in values.items():
                self._board.add_scalar(name, value, global_step)

    def picture(self, name: str, global_step: int, picture: "Tensor") -> None:
        """picture: [3, h, w], 0..1; only for TensorBoard."""
        if self._board is not None:
            self._board.add_image(name, picture.nan_to_num(), global_step)

    @property
    def wants_pictures(self) -> bool:
        return self._board is not None

    def close(self) -> None:
        self._file.close()
        if self._board is not None:
            self._board.close()


def read_scalars(run: Path) -> list[dict[str, Any]]:
    """The records of a run's scalars.jsonl."""
    return scan_scalars(run / SCALARS)[0]


def scan_scalars(path: Path) -> tuple[list[dict[str, Any]], int]:
    """(the records by global_step, the number of incomplete lines). If a step was run again after a resume, its last
    record counts."""
    if not path.exists():
        return [], 0
    found: dict[int, dict[str, Any]] = {}
    cut = 0
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            record = json.loads(line)
            found[int(record["global_step"])] = record
        except (ValueError, KeyError, TypeError):  # the run was killed in the middle of a line
            cut += bool(line.strip())
    return [found[step] for step in sorted(found)], cut


def _tensorboard(run: Path, global_step: int):
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(run / "tensorboard"), purge_step=global_step)

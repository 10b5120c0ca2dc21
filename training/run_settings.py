"""What a run was asked to do, as it is kept in run.json and compared when the run goes on."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from ..core import StudioError, atomic_file
from .data_config import DataConfig
from .recipe import Preset

FILE = "run.json"


@dataclass(frozen=True)
class RunSettings:
    preset: Preset
    data: DataConfig = field(default_factory=DataConfig)
    stages: tuple[int, ...] = (1, 2, 3, 4)
    variant: str = "mobilenetv3"
    seed: int = 0
    init: str | None = None  # a weights file to start from
    frozen: tuple[str, ...] = ()  # groups that stay as they are
    statistics: str = "auto"  # of batch normalisation: "train", "eval", or "auto": eval where it is folded
    foreground: bool = True
    precision: str = "fp32"

    def save(self, run: Path, notes: Mapping[str, object] | None = None) -> None:
        """Writes run.json; `notes` stand in it for people and for the report.

        Raises StudioError where the folder cannot be written to.
        """
        path = run / FILE
        try:
            with atomic_file(path) as partial:
                content = {**asdict(self), **(notes or {})}
                partial.write_text(json.dumps(content, default=str, indent=2) + "\n", encoding="utf-8")
        except OSError as error:
            raise StudioError(f"{path} cannot be written ({error}). Choose another --output.") from error

    @classmethod
    def read(cls, run: Path) -> "RunSettings":
        """Raises StudioError where the folder holds no run."""
        path = run / FILE
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            preset = Preset(**{k: _as_set(v) for k, v in content.pop("preset").items()})
            data = DataConfig(**{k: v and Path(v) for k, v in content.pop("data").items()})
            known = {f.name for f in fields(cls)}
            rest = {k: _as_set(v) for k, v in content.items() if k in known}
            return cls(preset=preset, data=data, **rest)
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise StudioError(
                f"{path} cannot be read ({error}). Expected the folder of a run that was begun; "
                "give it as --output, or leave out --resume."
            ) from error

    def differences(self, other: "RunSettings") -> list[str]:
        """Names of what differs: a run that goes on with anything else is another run."""
        return [f.name for f in fields(self) if getattr(self, f.name) != getattr(other, f.name)]


def _as_set(value: Any) -> Any:
    """JSON knows no tuples."""
    return tuple(value) if isinstance(value, list) else value

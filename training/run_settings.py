"""What a run trains (RunSettings, stored in run.json) and how it is computed (RunOptions)."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from ..core import StudioError, atomic_file
from .data_config import DataConfig
from .recipe import Preset

FILE = "run.json"


@dataclass
class RunOptions:
    """How a run is computed. All of this may change when a run is resumed."""

    clips: int | None = None  # at once on a device; None: the preset's
    workers: int = 0
    keep: int = 3  # checkpoints
    checkpoint_minutes: float = 10.0
    validation_clips: int = 8
    quiet: bool = False


@dataclass(frozen=True)
class RunSettings:
    """What a run trains. None of this may change when a run is resumed."""

    preset: Preset
    data: DataConfig = field(default_factory=DataConfig)
    stages: tuple[int, ...] = (1, 2, 3, 4)
    variant: str = "mobilenetv3"
    seed: int = 0
    init: str | None = None  # initial weights: "imagenet", "official", "starter" or a file; None: random
    frozen: tuple[str, ...] = ()  # groups that are not trained
    statistics: str = "auto"  # of batch normalisation: "train", "eval", or "auto" (eval where it is folded)
    foreground: bool = True
    precision: str = "fp32"

    def save(self, run: Path, notes: Mapping[str, object] | None = None) -> None:
        """Writes run.json. notes: additional content, for people and for the report.

        Raises StudioError if the folder cannot be written.
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
        """Reads run.json. Raises StudioError if the folder contains no run."""
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
                f"{path} cannot be read ({error}). Give the folder of an existing run as --output, or leave out "
                "--resume."
            ) from error

    def differences(self, other: "RunSettings") -> list[str]:
        """Names of the settings that differ. A run cannot be resumed with different ones."""
        return [f.name for f in fields(self) if getattr(self, f.name) != getattr(other, f.name)]


def _as_set(value: Any) -> Any:
    """Turns a list, JSON's form of a tuple, back into a tuple."""
    return tuple(value) if isinstance(value, list) else value

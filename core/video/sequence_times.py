"""The times of a picture sequence that was made from a video: a JSON file beside the pictures."""

import json
from pathlib import Path

from ..machine.whole_file import whole_file
from .partial_output import NUMBER, numbered, pattern_of
from .picture_spec import PictureSpec

_MADE_OF = ("video", "animation")  # kinds of clips with times of their own


class SequenceTimes:
    """Collects when each picture is shown.

    path: the output, as for FrameWriter. spec: the clip's.
    """

    def __init__(self, path: Path, spec: PictureSpec) -> None:
        self._pattern = pattern_of(path)
        self._spec = spec
        self._frames: list[tuple[int, int]] = []  # (number, pts)

    @property
    def path(self) -> Path:
        """timestamps.json, after what precedes the number in the pictures' names."""
        return self._pattern.with_name(f"{NUMBER.split(self._pattern.name)[0]}timestamps.json")

    def add(self, number: int, pts: int) -> None:
        self._frames.append((number, pts))

    def save(self, overwrite: bool) -> str | None:
        """Writes the file. Returns a note if it was there already and `overwrite` is False: then it stays."""
        if self.path.exists() and not overwrite:
            return f"{self.path} exists already and was kept; the times of the pictures were not written"
        text = json.dumps(self._content(), indent=1, ensure_ascii=False)
        with whole_file(self.path) as temporary:
            temporary.write_text(text + "\n", encoding="utf-8")
        return None

    def _content(self) -> dict[str, object]:
        base = self._spec.time_base
        return {
            "frame_rate": str(self._spec.frame_rate),
            "constant": self._is_constant(),
            "time_base": str(base),
            "frames": [
                {
                    "file": numbered(self._pattern.name, number),
                    "pts": pts,
                    "seconds": round(float(pts * base), 9),
                }
                for number, pts in self._frames
            ],
        }

    def _is_constant(self) -> bool:
        """Whether all frames are at equal distances, as exactly as the unit of the times allows."""
        base, first = self._spec.time_base, self._frames[0][1]
        step = 1 / (self._spec.frame_rate * base)
        return all(abs(pts - first - place * step) < 1 for place, (_, pts) in enumerate(self._frames))


def times_for(path: Path, spec: PictureSpec, is_sequence: bool) -> SequenceTimes | None:
    """The collection for an output; None if it is no sequence, or the clip is one itself, or of an unknown kind."""
    return SequenceTimes(path, spec) if is_sequence and getattr(spec, "kind", "") in _MADE_OF else None

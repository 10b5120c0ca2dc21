"""The model that the nodes pass to each other, and the session that a matting node makes of it."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..core import StudioError
from . import comfy_host

if TYPE_CHECKING:
    from ..core import Choice, Engine, MattingNetwork, Session

BYTES_A_PIXEL, BYTES_A_SMALL_PIXEL = 120, 800  # float32: the guided filter at full size; encoder and decoder


@dataclass(frozen=True)
class RVMModel:
    """The output of RVM Load Model: the network (in eval mode, in the precision it runs in, managed by ComfyUI) and the
    chosen engine."""

    patcher: Any
    network: "MattingNetwork"
    device: Any
    dtype: Any
    path: str
    choice: "Choice"

    @functools.cached_property
    def engine(self) -> "Engine":
        """The eager engine runs the network that ComfyUI manages; the faster engines for the CPU run a copy."""
        from ..core import EagerEngine, build_engine

        if self.choice.engine == "eager":
            return EagerEngine(self.network, self.device, self.dtype, shared=True)
        return build_engine(self.network, self.choice)

    def session(
        self,
        height: int,
        width: int,
        *,
        segment: bool = False,
        downsample: str = "auto",
        custom_ratio: float = 0.25,
        warm_up: int = 12,
        scene_cut: float = 0.0,
        chunk: int = 0,
        state: Mapping[str, object] | None = None,
    ) -> "Session":
        """A session for frames of this size, with the model loaded on its device. Raises StudioError if the settings
        are invalid or the state does not fit the frames."""
        from ..core import SegmentationEngine, Session, small_size, state_from_dict

        # Nodes call this through the class, so that an object of another node pack ends here, not in an AttributeError.
        if not isinstance(self, RVMModel):
            raise StudioError("The model input is not an RVM model. Connect it to RVM Load Model.")
        session = Session(
            SegmentationEngine(self.network, self.device, self.dtype, shared=True) if segment else self.engine,
            downsample_ratio=custom_ratio if downsample == "custom" else downsample,
            chunk=chunk or "auto",
            warm_up=warm_up,
            scene_cut=scene_cut or None,
            stopped=comfy_host.is_cancelled,
        )
        if state is not None:
            session.state = state_from_dict(state)
        ratio = session.fitting_ratio(height, width)
        small_height, small_width = small_size(height, width, ratio)
        a_frame = BYTES_A_PIXEL * height * width + BYTES_A_SMALL_PIXEL * small_height * small_width
        comfy_host.load_on_device(self.patcher, session.chunk_for(height, width) * a_frame)
        return session


def state_output(session: "Session") -> dict[str, object] | None:
    """The session's state as a node outputs it: on the CPU, and not to be modified."""
    from ..core import state_to_dict

    state = state_to_dict(session.state) if session.state else None
    if state and not all(bool(state[name].isfinite().all()) for name in ("r1", "r2", "r3", "r4")):  # pyright: ignore
        raise StudioError("The frames contain values that are no numbers (NaN or infinite). Check what is connected.")
    return state

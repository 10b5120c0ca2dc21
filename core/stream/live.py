"""Live streams: mattes frames one by one as they arrive, for several streams that share engines.

The worker of a live program gets the engine of each stream from `SharedEngines`, which loads it in the background, and
keeps one `LiveStream` per stream. Low latency comes first: one frame at a time, without looking ahead.
"""

# H, W; h, w of a reduced picture

import contextlib
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..engines import Choice, Engine, build, choose, load_ahead
from ..errors import StudioError
from ..machine.cache_folder import models_dir
from ..machine.device import choose_device, release_cached_memory
from ..network import MattingNetwork
from ..pictures.alpha_ops import check_number
from ..pictures.decontaminate import decontaminate
from ..pictures.edges import EdgeOptions, refine_edges
from ..pictures.pixel_format import frames_from_pictures, pictures_from_frames, quantise, rgba_pictures, to_float
from ..weights import network_weights as weights
from ..weights.download import CATALOGUE
from .downsample_ratio import choose_downsample_ratio
from .session import MattingSession

GAP = 1_000_000_000  # ns between two pictures of a stream; after a longer gap the stream restarts
RETRY = 30.0  # seconds after which loading is tried again if it failed
WARM_RUNS = 2  # at a new size: the first run has no state, which takes another path through the network
CORRECTION_SIDE = 480  # longest side of a correction, in pixels
SAMPLED_SIDE = 960  # longest side in pixels above which a picture is subsampled first


@dataclass(frozen=True)
class LiveSettings:
    """The settings of one stream.

    model: mobilenetv3, resnet50 or a weights file. downsample: as MattingSession's downsample_ratio. edges: for the
    alpha. decontaminate: strength 0..1 of the colour correction; 0 for none. scene_cuts: reset the state at scene
    cuts. Raises StudioError for unusable values.
    """

    model: str = "mobilenetv3"
    downsample: str | float = "auto"
    edges: EdgeOptions = field(default_factory=EdgeOptions)
    decontaminate: float = 0.0
    scene_cuts: bool = True

    def __post_init__(self) -> None:
        check_number("The decontamination strength", self.decontaminate, 0, 1)
        choose_downsample_ratio(self.downsample, 1080, 1920)  # raises for an unusable one

    def same_session(self, other: "LiveSettings") -> bool:
        """Whether the stream's state stays valid when the other settings replace these."""
        return (self.model, self.downsample, self.scene_cuts) == (other.model, other.downsample, other.scene_cuts)


class LiveMatte(NamedTuple):
    """alpha: [H, W] uint8. correction: [h, w, 4] uint8, or None: the straight foreground's colours minus the picture's,
    -1..+1 stored as 0..255 with 128 for 0; the fourth channel is 255."""

    alpha: np.ndarray
    correction: np.ndarray | None


class SharedEngines:
    """One engine per model, however many streams use it; loaded (and downloaded, if missing) in the background.

    device, engine, precision: see core.engines.choose, whose result is `choice`.
    make_engine: network, choice -> Engine.
    Engines are kept until the process ends: a network takes little memory beside a GPU driver's own.
    Raises StudioError if the device, engine or precision is not available.
    """

    def __init__(
        self,
        device: str = "auto",
        precision: str = "auto",
        engine: str = "auto",
        make_engine: Callable[[MattingNetwork, Choice], Engine] = build,
    ):
        self.choice = choose(choose_device(device), engine, precision)
        self.device = self.choice.device
        self._make_engine = make_engine
        self._entries: dict[str, _Entry] = {}

    def get(self, model: str) -> Engine | None:
        """The engine, or None while it is loading. The first call starts loading.

        Raises StudioError if loading failed; after `RETRY` seconds the next call tries again.
        """
        entry = self._entries.get(model)
        if entry is None or (entry.error and time.monotonic() - entry.ended > RETRY):
            entry = self._entries[model] = _Entry(weights_are_here(model))
            threading.Thread(target=self._load, args=(model, entry), name=f"load {model}", daemon=True).start()
        if entry.error:
            raise entry.error.with_traceback(None)
        return entry.engine

    def progress(self) -> str:
        """The progress of what is loading, in words; "" if nothing is."""
        entries = list(self._entries.items())
        return "; ".join(entry.progress(model) for model, entry in entries if not entry.engine and not entry.error)

    def loaded(self) -> dict[str, Engine]:
        """The engines that have been loaded, by model."""
        return {model: entry.engine for model, entry in list(self._entries.items()) if entry.engine}

    def _load(self, model: str, entry: "_Entry") -> None:
        try:
            path = weights.find(model) if model in CATALOGUE else weights.find(path=model)
            load_ahead(self.choice)
            network = weights.load_network(path, model if model in CATALOGUE else None)
            entry.engine = self._make_engine(network, self.choice)
        except StudioError as error:
            entry.fail(error)
        except Exception as error:  # a full disk, a GPU without memory: nobody sees the exceptions of a thread
            release_cached_memory(self.device)
            entry.fail(StudioError(f"The network {model} cannot be loaded: {type(error).__name__}: {error}"))


class _Entry:
    """A model's engine, or its progress. Written by the loading thread alone, `error` last."""

    def __init__(self, here: bool):
        self.engine: Engine | None = None
        self.error: StudioError | None = None
        self.ended = 0.0
        self._here = here

    def fail(self, error: StudioError) -> None:
        self.ended = time.monotonic()
        self.error = error

    def progress(self, model: str) -> str:
        if self._here:
            return f"Loading {model}"
        entry = CATALOGUE[model]
        received = 0
        with contextlib.suppress(OSError):
            received = entry.partial(models_dir()).stat().st_size
        progress = f"{received / 1e6:.0f} of {entry.size / 1e6:.0f} MB"
        return f"Downloading the weights of {model}, once: {progress}"


def weights_are_here(model: str) -> bool:
    """Whether a model's weights need no download: a file was given, or they have been downloaded."""
    if model not in CATALOGUE or os.environ.get("RVM_WEIGHTS"):
        return True
    return (models_dir() / CATALOGUE[model].installed_name).is_file()


class LiveStream:
    """One live source and its session, which restarts when the source changes or pauses.

    engine: may be shared with other streams; they take turns.
    """

    def __init__(self, engine: Engine, settings: LiveSettings):
        self.engine = engine
        self.settings = settings
        self.session = MattingSession(
            engine,
            downsample_ratio=settings.downsample,
            chunk=1,
            scene_cut=settings.scene_cuts or None,
            on_size_change="reset",
        )
        self._prepared: set[tuple[int, int]] = set()
        self._epoch: int | None = None
        self._time = self._gap = 0

    def prepare(self, height: int, width: int) -> bool:
        """Runs the network on blank pictures when a size is new, because the first runs take many times longer.
        Returns whether it did: a newer picture has arrived by then."""
        if (height, width) in self._prepared:
            return False
        ratio = choose_downsample_ratio(self.settings.downsample, height, width)
        blank, rec = torch.zeros(1, 3, height, width, dtype=torch.uint8), None
        for _ in range(WARM_RUNS):
            rec = self.engine.run(blank, rec, ratio, out=torch.uint8, foreground=False).rec
        self._prepared.add((height, width))
        return True

    def matte(self, picture: np.ndarray, time_ns: int, epoch: int) -> LiveMatte:
        """Mattes the newest picture [H, W, 4], uint8 RGBA in sRGB; its alpha is ignored.

        time_ns: of the picture, by any clock. epoch: a number that changes when another source begins.
        Raises StudioError if memory runs out; the next picture may still succeed.
        """
        if self._is_new_stream(time_ns, epoch):
            self.session.reset()
        self._epoch, self._time = epoch, time_ns
        edges, device = self.settings.edges, self.engine.device
        # A GPU separates the channels faster than the CPU.
        whole = torch.from_numpy(picture)[None].to(device if device.type in ("cuda", "xpu") else "cpu")
        src = frames_from_pictures(whole, "rgba")
        out = torch.uint8 if edges.is_identity else torch.float32
        _, raw = self.session.matte(src, out=out, foreground=False, out_device=device)
        pha = quantise(refine_edges(raw, edges), torch.uint8) if out == torch.float32 else raw
        strength = self.settings.decontaminate
        # Colours mix at the edge that the network found, even if the edge is moved afterwards.
        correction = make_correction(src, raw.to(src.device), strength) if strength > 0 else None
        return LiveMatte(pictures_from_frames(pha)[0, :, :, 0], correction)

    def _is_new_stream(self, time_ns: int, epoch: int) -> bool:
        """Decided by the epoch and by the time since the last picture. A slow network makes every interval long, so the
        interval is also compared with the one before."""
        gap, usual = 0 if self._epoch is None else time_ns - self._time, self._gap
        self._gap = gap
        return epoch != self._epoch or gap < 0 or gap > max(GAP, 3 * usual)


def make_correction(src: Tensor, pha: Tensor, strength: float) -> np.ndarray:
    """src [1, 3, H, W] and pha [1, 1, H, W], float 0..1 or uint8 -> LiveMatte's correction, at most half as
    large as src: background colours change slowly, and the renderer interpolates."""
    H, W = src.shape[-2:]  # noqa: N806
    step = max(1, max(H, W) // SAMPLED_SIDE)
    scale = min(0.5, CORRECTION_SIDE / max(H, W))
    size = (max(1, round(H * scale)), max(1, round(W * scale)))
    src, pha = (F.interpolate(to_float(x[..., ::step, ::step], x.device), size, mode="area") for x in (src, pha))
    difference = decontaminate(src, pha, strength) - src
    return rgba_pictures(quantise(difference / 2 + 128 / 255, torch.uint8), torch.full_like(pha, 255).byte())[0]

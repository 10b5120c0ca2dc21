"""The matting core: the network, its weights, sessions, video in and out. Imports nothing from its siblings.

Names are loaded when first asked for, so that light parts (the command line's help, weights listing) need no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .matting_session import MattingSession
    from .network import MattingNetwork, MattingOutput, SegmentationOutput

_HOMES = {
    "MattingNetwork": ".network",
    "MattingOutput": ".network",
    "SegmentationOutput": ".network",
    "MattingSession": ".matting_session",
}

__all__ = ["MattingNetwork", "MattingOutput", "MattingSession", "SegmentationOutput"]


def __getattr__(name: str):
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name], __name__), name)

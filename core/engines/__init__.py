"""Engines run the network; sessions drive them. An engine keeps no stream's state, so several sessions may share one.

    eager       the network as it is, in plain PyTorch, on any device: the reference for the others
    folded      CPU: cut at the refiner, BatchNorm folded, channels-last, in plain PyTorch
    openvino    CPU: cut at the refiner, the small network in OpenVINO
    graph       GPU, experimental: cut at the refiner, folded, recorded as a CUDA graph, the full size in Triton
    compile     like graph, with the small network compiled by Inductor; also on the CPU

`choose` picks one for a device and says why, `build` makes it.
"""

from .choice import Choice, build, choose, load_ahead
from .eager import EagerEngine, SegmentationEngine
from .engine import Drawing, Engine, EngineOutput
from .transfers import Download, Transfers

__all__ = [
    "Choice",
    "Download",
    "Drawing",
    "EagerEngine",
    "Engine",
    "EngineOutput",
    "SegmentationEngine",
    "Transfers",
    "build",
    "choose",
    "load_ahead",
]

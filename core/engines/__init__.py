"""Engines run the network; sessions drive them. An engine holds no stream's state, so many sessions may share one."""

from .eager import EagerEngine, SegmentationEngine
from .engine import Engine, EngineOutput

__all__ = ["EagerEngine", "Engine", "EngineOutput", "SegmentationEngine"]

"""The matting core: the network, its weights, sessions, and video files. It imports no sibling package.

This is its public interface: code outside imports from here, regardless of the files inside. Names are loaded on first
access, so that light parts (the command line's help, the list of weights) do not import torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .cli.errors import NoteHandler
    from .cli.option_parsing import at_least
    from .cli.progress import make_progress
    from .cli.start import program
    from .cli.stop_signals import stop_on_signal
    from .clips.background import Background, cover, parse_color
    from .clips.batches import composite_pictures, decontaminate_pictures, matte_pictures, refine_masks
    from .clips.matte_clip import can_resume, matte_clip
    from .clips.matte_file import matte
    from .clips.option_table import OPTIONS, options_markdown
    from .clips.options import ClipOptions, ClipReport, Output
    from .clips.renderer import FrameRenderer
    from .clips.resume import stopped_outputs
    from .clips.write_frames import write_frames
    from .engines import Choice, Drawing, EagerEngine, Engine, EngineOutput, SegmentationEngine, Transfers
    from .engines import build as build_engine
    from .engines import choose as choose_engine
    from .engines.loading import find_network, load
    from .errors import DownloadError, StudioError, boundary
    from .evaluation.clips import refuse_cut_picture
    from .evaluation.metrics import MetricAccumulator
    from .evaluation.table import MEANINGS as METRIC_MEANINGS
    from .evaluation.table import markdown as markdown_table
    from .export import ExportedNetwork
    from .machine.cache_folder import models_dir
    from .machine.device import (
        DTYPE_NAMES,
        DTYPES,
        bf16_works,
        choose_device,
        choose_dtype,
        no_autocast,
        release_cached_memory,
    )
    from .machine.device import describe as describe_device
    from .machine.install_advice import command_for_extra, installer_command, python_command
    from .machine.process_tuning import loading, tune_process
    from .machine.whole_file import whole_file as atomic_file
    from .network import MattingNetwork, MattingOutput, Rec, SegmentationOutput, small_size
    from .pictures.alpha_ops import checkerboard, composite, gaussian_blur
    from .pictures.contact_sheet import GREEN
    from .pictures.cube_lut import cube_view
    from .pictures.edges import EdgeOptions
    from .pictures.pixel_format import frames_from_pictures, pictures_from_frames, quantise, to_float
    from .pictures.view import View, hdr_view
    from .stream.downsample_ratio import choose_downsample_ratio
    from .stream.live import RETRY as DOWNLOAD_RETRY
    from .stream.live import LiveMatte, LiveSettings, LiveStream, SharedEngines, weights_are_here
    from .stream.session import MattingSession, Stopped, StreamState
    from .stream.session import MattingSession as Session
    from .stream.state_file import load_state, save_state, state_from_dict, state_to_dict
    from .video.color import ColorTags, ToRGB, resolve_tags
    from .video.container import known, open_to_read
    from .video.orientation import display_orientation
    from .video.output_formats import FORMATS as OUTPUT_FORMATS
    from .video.output_formats import format_for
    from .video.picture_sequence import VIDEO_SUFFIXES, is_picture
    from .video.picture_spec import PictureSpec
    from .video.reader import ClipInfo, FrameReader, SourceFrame, check_source, open_reader
    from .video.writer import FrameWriter
    from .weights.download import CATALOGUE as WEIGHTS_CATALOGUE
    from .weights.download import STARTER_PATH, STARTER_VARIANT
    from .weights.network_weights import DEEP as DEEP_REFINER
    from .weights.network_weights import FAST as FAST_REFINER
    from .weights.network_weights import fetch as fetch_weights
    from .weights.network_weights import find as find_weights
    from .weights.network_weights import load_network
    from .weights.network_weights import read as read_weights
    from .weights.network_weights import save as save_weights
    from .weights.tensor_file import SUFFIXES as WEIGHTS_SUFFIXES

# The public names of each module, as `inner:public` where the public name differs.
_NAMES = {
    # a clip in one call, and the parts of that call
    ".clips.matte_file": "matte",
    ".engines.loading": "load find_network",
    ".stream.session": "MattingSession:Session MattingSession StreamState Stopped",
    ".video.reader": "ClipInfo FrameReader SourceFrame check_source open_reader",
    ".errors": "StudioError DownloadError boundary",
    # whole clips
    ".clips.options": "ClipOptions ClipReport Output",
    ".clips.option_table": "OPTIONS options_markdown",
    ".pictures.edges": "EdgeOptions",
    ".clips.matte_clip": "can_resume matte_clip",
    ".clips.resume": "stopped_outputs",
    ".clips.renderer": "FrameRenderer",
    ".clips.background": "Background cover parse_color",
    ".pictures.contact_sheet": "GREEN",
    # files
    ".video.output_formats": "FORMATS:OUTPUT_FORMATS format_for",
    ".video.picture_spec": "PictureSpec",
    ".video.writer": "FrameWriter",
    ".clips.write_frames": "write_frames",
    ".video.picture_sequence": "VIDEO_SUFFIXES is_picture",
    ".video.orientation": "display_orientation",
    ".video.container": "known open_to_read",
    ".video.color": "ColorTags ToRGB resolve_tags",
    ".machine.whole_file": "whole_file:atomic_file",
    # pixels
    ".pictures.pixel_format": "frames_from_pictures pictures_from_frames quantise to_float",
    ".pictures.view": "View hdr_view",
    ".pictures.cube_lut": "cube_view",
    ".pictures.alpha_ops": "checkerboard composite gaussian_blur",
    ".clips.batches": "composite_pictures decontaminate_pictures matte_pictures refine_masks",
    # streams
    ".stream.downsample_ratio": "choose_downsample_ratio",
    ".stream.state_file": "load_state save_state state_from_dict state_to_dict",
    ".stream.live": "RETRY:DOWNLOAD_RETRY LiveMatte LiveSettings LiveStream SharedEngines weights_are_here",
    # network and weights
    ".network": "MattingNetwork MattingOutput Rec SegmentationOutput small_size",
    ".weights.network_weights": "DEEP:DEEP_REFINER FAST:FAST_REFINER fetch:fetch_weights find:find_weights "
    "load_network read:read_weights save:save_weights",
    ".weights.download": "CATALOGUE:WEIGHTS_CATALOGUE STARTER_PATH STARTER_VARIANT",
    ".machine.cache_folder": "models_dir",
    ".weights.tensor_file": "SUFFIXES:WEIGHTS_SUFFIXES",
    ".export": "ExportedNetwork",
    # engines and devices
    ".engines": "Choice Drawing EagerEngine Engine EngineOutput "
    "SegmentationEngine Transfers build:build_engine choose:choose_engine",
    ".machine.device": "DTYPES DTYPE_NAMES bf16_works choose_device choose_dtype "
    "describe:describe_device no_autocast release_cached_memory",
    # metrics
    ".evaluation.metrics": "MetricAccumulator",
    ".evaluation.clips": "refuse_cut_picture",
    ".evaluation.table": "MEANINGS:METRIC_MEANINGS markdown:markdown_table",
    # our own processes
    ".machine.process_tuning": "loading tune_process",
    ".cli.stop_signals": "stop_on_signal",
    ".cli.progress": "make_progress",
    ".cli.start": "program",
    ".machine.install_advice": "command_for_extra installer_command python_command",
    ".cli.errors": "NoteHandler",
    ".cli.option_parsing": "at_least",
}
_HOMES = {
    public or inner: (home, inner)
    for home, names in _NAMES.items()
    for inner, _, public in (name.partition(":") for name in names.split())
}

__all__ = [
    "DEEP_REFINER",
    "DOWNLOAD_RETRY",
    "DTYPES",
    "DTYPE_NAMES",
    "FAST_REFINER",
    "GREEN",
    "METRIC_MEANINGS",
    "OPTIONS",
    "OUTPUT_FORMATS",
    "STARTER_PATH",
    "STARTER_VARIANT",
    "VIDEO_SUFFIXES",
    "WEIGHTS_CATALOGUE",
    "WEIGHTS_SUFFIXES",
    "Background",
    "Choice",
    "ClipInfo",
    "ClipOptions",
    "ClipReport",
    "ColorTags",
    "DownloadError",
    "Drawing",
    "EagerEngine",
    "EdgeOptions",
    "Engine",
    "EngineOutput",
    "ExportedNetwork",
    "FrameReader",
    "FrameRenderer",
    "FrameWriter",
    "LiveMatte",
    "LiveSettings",
    "LiveStream",
    "MattingNetwork",
    "MattingOutput",
    "MattingSession",
    "MetricAccumulator",
    "NoteHandler",
    "Output",
    "PictureSpec",
    "Rec",
    "SegmentationEngine",
    "SegmentationOutput",
    "Session",
    "SharedEngines",
    "SourceFrame",
    "Stopped",
    "StreamState",
    "StudioError",
    "ToRGB",
    "Transfers",
    "View",
    "at_least",
    "atomic_file",
    "bf16_works",
    "boundary",
    "build_engine",
    "can_resume",
    "check_source",
    "checkerboard",
    "choose_device",
    "choose_downsample_ratio",
    "choose_dtype",
    "choose_engine",
    "command_for_extra",
    "composite",
    "composite_pictures",
    "cover",
    "cube_view",
    "decontaminate_pictures",
    "describe_device",
    "display_orientation",
    "fetch_weights",
    "find_network",
    "find_weights",
    "format_for",
    "frames_from_pictures",
    "gaussian_blur",
    "hdr_view",
    "installer_command",
    "is_picture",
    "known",
    "load",
    "load_network",
    "load_state",
    "loading",
    "make_progress",
    "markdown_table",
    "matte",
    "matte_clip",
    "matte_pictures",
    "models_dir",
    "no_autocast",
    "open_reader",
    "open_to_read",
    "options_markdown",
    "parse_color",
    "pictures_from_frames",
    "program",
    "python_command",
    "quantise",
    "read_weights",
    "refine_masks",
    "refuse_cut_picture",
    "release_cached_memory",
    "resolve_tags",
    "save_state",
    "save_weights",
    "small_size",
    "state_from_dict",
    "state_to_dict",
    "stop_on_signal",
    "stopped_outputs",
    "to_float",
    "tune_process",
    "weights_are_here",
    "write_frames",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home, inner = _HOMES[name]
    return getattr(import_module(home, __name__), inner)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})

"""The matting core: the network, its weights, sessions, video in and out. Imports nothing from its siblings.

This is its face: whatever is imported from outside comes from here, however the files inside are arranged.
Names are loaded when first asked for, so that light parts (the command line's help, weights listing) need no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .alpha_ops import checkerboard, composite, gaussian_blur
    from .background import Background, cover, parse_color
    from .cli import program
    from .cli_errors import NoteHandler
    from .cli_model import at_least
    from .clip_options import ClipOptions, ClipReport, Output
    from .contact_sheet import GREEN
    from .device import DTYPE_NAMES, DTYPES, bf16_works, choose_device, choose_dtype, no_autocast, release_cached_memory
    from .device import describe as describe_device
    from .downsample_ratio import choose_downsample_ratio
    from .engine_loading import find_network, load
    from .engines import Choice, Drawing, EagerEngine, Engine, EngineOutput, SegmentationEngine, Transfers
    from .engines import build as build_engine
    from .engines import choose as choose_engine
    from .errors import DownloadError, StudioError
    from .evaluation import refuse_cut_picture
    from .evaluation_table import MEANINGS as METRIC_MEANINGS
    from .evaluation_table import markdown as markdown_table
    from .export import ExportedNetwork
    from .frame_clip import write_frames
    from .frame_renderer import FrameRenderer
    from .install_advice import command_for_extra, installer_command, python_command
    from .live_matting import RETRY as DOWNLOAD_RETRY
    from .live_matting import LiveMatte, LiveSettings, LiveStream, SharedEngines, weights_are_here
    from .mask_ops import EdgeOptions
    from .matte_file import matte
    from .matting_session import MattingSession, Stopped, StreamState
    from .matting_session import MattingSession as Session
    from .metrics import MetricAccumulator
    from .network import MattingNetwork, MattingOutput, Rec, SegmentationOutput, small_size
    from .output_formats import FORMATS as OUTPUT_FORMATS
    from .output_formats import format_for
    from .picture_batches import composite_pictures, decontaminate_pictures, matte_pictures, refine_masks
    from .picture_orientation import display_orientation
    from .picture_sequence import is_picture
    from .pixel_format import frames_from_pictures, pictures_from_frames, quantise, to_float
    from .process_tuning import loading, tune_process
    from .progress import make_progress
    from .resume import stopped_outputs
    from .state_file import load_state, save_state, state_from_dict, state_to_dict
    from .stop_signals import stop_on_signal
    from .video_color import ColorTags, ToRGB, resolve_tags
    from .video_container import known, open_to_read
    from .video_matting import can_resume, matte_clip
    from .video_reader import ClipInfo, FrameReader, SourceFrame, check_source, open_reader
    from .video_writer import FrameWriter
    from .weights import DEEP as DEEP_REFINER
    from .weights import FAST as FAST_REFINER
    from .weights import fetch as fetch_weights
    from .weights import find as find_weights
    from .weights import load_network
    from .weights import read as read_weights
    from .weights import save as save_weights
    from .weights_download import CATALOGUE as WEIGHTS_CATALOGUE
    from .weights_download import STARTER_PATH, STARTER_VARIANT, models_dir
    from .weights_file import SUFFIXES as WEIGHTS_SUFFIXES
    from .whole_file import whole_file as atomic_file

# Of each module the names it gives, `inner:public` where it is called otherwise outside.
_NAMES = {
    # a clip in one call, and the parts that the call is made of
    ".matte_file": "matte",
    ".engine_loading": "load find_network",
    ".matting_session": "MattingSession:Session MattingSession StreamState Stopped",
    ".video_reader": "ClipInfo FrameReader SourceFrame check_source open_reader",
    ".errors": "StudioError DownloadError",
    # whole clips
    ".clip_options": "ClipOptions ClipReport Output",
    ".mask_ops": "EdgeOptions",
    ".video_matting": "can_resume matte_clip",
    ".resume": "stopped_outputs",
    ".frame_renderer": "FrameRenderer",
    ".background": "Background cover parse_color",
    ".contact_sheet": "GREEN",
    # files
    ".output_formats": "FORMATS:OUTPUT_FORMATS format_for",
    ".video_writer": "FrameWriter",
    ".frame_clip": "write_frames",
    ".picture_sequence": "is_picture",
    ".picture_orientation": "display_orientation",
    ".video_container": "known open_to_read",
    ".video_color": "ColorTags ToRGB resolve_tags",
    ".whole_file": "whole_file:atomic_file",
    # pixels
    ".pixel_format": "frames_from_pictures pictures_from_frames quantise to_float",
    ".alpha_ops": "checkerboard composite gaussian_blur",
    ".picture_batches": "composite_pictures decontaminate_pictures matte_pictures refine_masks",
    # streams
    ".downsample_ratio": "choose_downsample_ratio",
    ".state_file": "load_state save_state state_from_dict state_to_dict",
    ".live_matting": "RETRY:DOWNLOAD_RETRY LiveMatte LiveSettings LiveStream SharedEngines weights_are_here",
    # network and weights
    ".network": "MattingNetwork MattingOutput Rec SegmentationOutput small_size",
    ".weights": "DEEP:DEEP_REFINER FAST:FAST_REFINER fetch:fetch_weights find:find_weights "
    "load_network read:read_weights save:save_weights",
    ".weights_download": "CATALOGUE:WEIGHTS_CATALOGUE STARTER_PATH STARTER_VARIANT models_dir",
    ".weights_file": "SUFFIXES:WEIGHTS_SUFFIXES",
    ".export": "ExportedNetwork",
    # engines and devices
    ".engines": "Choice Drawing EagerEngine Engine EngineOutput "
    "SegmentationEngine Transfers build:build_engine choose:choose_engine",
    ".device": "DTYPES DTYPE_NAMES bf16_works choose_device choose_dtype "
    "describe:describe_device no_autocast release_cached_memory",
    # measuring mattes
    ".metrics": "MetricAccumulator",
    ".evaluation": "refuse_cut_picture",
    ".evaluation_table": "MEANINGS:METRIC_MEANINGS markdown:markdown_table",
    # processes of our own
    ".process_tuning": "loading tune_process",
    ".stop_signals": "stop_on_signal",
    ".progress": "make_progress",
    ".cli": "program",
    ".install_advice": "command_for_extra installer_command python_command",
    ".cli_errors": "NoteHandler",
    ".cli_model": "at_least",
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
    "OUTPUT_FORMATS",
    "STARTER_PATH",
    "STARTER_VARIANT",
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
    "at_least",
    "atomic_file",
    "bf16_works",
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
    "decontaminate_pictures",
    "describe_device",
    "display_orientation",
    "fetch_weights",
    "find_network",
    "find_weights",
    "format_for",
    "frames_from_pictures",
    "gaussian_blur",
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

"""Runs the core's clip pipeline inside ComfyUI, with the node's model, its progress bar and ComfyUI's cancel."""

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from . import comfy_host
from .model import state_output
from .video_input import ClipFile

if TYPE_CHECKING:
    from ..core import ClipOptions, ClipReport, Output, Session


class Job(NamedTuple):
    """The result of a job. state: the network's state after the last frame, as a node outputs it."""

    report: "ClipReport"
    state: dict[str, object] | None


def resumable(
    outputs: "list[Output]", session: "Session", clip: ClipFile, clip_options: "ClipOptions"
) -> "list[Output]":
    """The outputs. If `resume` is on and a stopped job in the first output's folder can be resumed, the first output
    takes that job's file name; ComfyUI itself gives every run a new number."""
    from ..core import can_resume, stopped_outputs

    first, *others = outputs
    for path in stopped_outputs(first.path.parent) if clip_options.resume else []:
        stopped = [replace(first, path=path), *others]
        if path.suffix == first.path.suffix and can_resume(clip.path, stopped, session, clip_options):
            return stopped
    return outputs


def run_job(session: "Session", clip: ClipFile, outputs: "list[Output]", clip_options: "ClipOptions") -> Job:
    """Mattes the clip into all outputs.

    A cancel raises ComfyUI's own exception; the frames finished by then stay in `.partial` files. Raises
    StudioError."""
    from ..core import matte_clip

    progress = comfy_host.Progress(clip.info.frame_count)
    report = matte_clip(
        clip.path,
        outputs,
        session,
        clip_options,
        on_progress=progress,
        on_result=progress.show,
        stopped=comfy_host.is_cancelled,
    )
    if report.stopped:
        comfy_host.end_if_cancelled()
    comfy_host.report_notes(clip.path, [*report.notes, *report.damage])
    return Job(report, state_output(session))

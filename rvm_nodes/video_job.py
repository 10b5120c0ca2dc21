"""A clip from file to files inside ComfyUI: the core's pipeline with the node's model, progress bar and cancel."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from . import comfy_host
from .matte_options import RVMModel, state_output
from .video_input import ClipFile

if TYPE_CHECKING:
    from ..core.video_matting import ClipOptions, ClipReport, Output


class Job(NamedTuple):
    """What became of a clip. state: the network's after the last frame, as it goes over a wire."""

    report: "ClipReport"
    state: dict[str, object] | None


def run_job(
    model: RVMModel,
    clip: ClipFile,
    outputs: "list[Output]",
    clip_options: "ClipOptions",
    state: Mapping[str, object] | None,
    options: Mapping[str, Any],
) -> Job:
    """Mattes the clip into all outputs. options: the shared widgets, for RVMModel.session.

    A cancel ends as ComfyUI's own exception; what was done by then stays as the core leaves it (`.partial` names).
    Raises StudioError."""
    from ..core.video_matting import matte_clip

    info = clip.info
    session = model.session(info.height, info.width, state=state, **options)
    progress = comfy_host.Progress(info.frame_count)
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

"""Mattes a clip in one call, as the command `matte` does with each of its inputs."""

# T frames, H, W

import contextlib
import os
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ..errors import StudioError
from ..machine.given_path import given_path
from .outputs import AnyPath, is_still, outputs_for, place_outputs

# Imports happen when they are needed: PyTorch, which takes seconds, only after the paths have been checked.

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from ..engines import Engine
    from ..pictures.edges import EdgeOptions
    from .options import ClipReport

WARM_UP = 12  # frames
_FOR_LOADING = ("mobilenetv3", None, "auto", "auto", None, "auto", None)  # the defaults of what `load` is given


def matte(
    source: AnyPath,
    output: AnyPath | Sequence[AnyPath] | None = None,
    *,
    alpha: AnyPath | None = None,
    foreground: AnyPath | None = None,
    preview: AnyPath | None = None,
    format: str | None = None,
    program: str | None = None,
    background: "AnyPath | Tensor | None" = None,
    downsample_ratio: str | float = "auto",
    warm_up: int = WARM_UP,
    scene_cut: bool | float | None = None,
    chunk: int | Literal["auto"] = "auto",
    variant: str = "mobilenetv3",
    weights: AnyPath | None = None,
    device: "str | torch.device" = "auto",
    view_lut: AnyPath | None = None,
    max_size: int | None = None,
    engine: "str | Engine" = "auto",
    precision: "str | torch.dtype" = "auto",
    threads: int | None = None,
    refiner: str = "auto",
    mirror: str | None = None,
    progress: Callable[[int, int | None], object] | None = None,
    stopped: Callable[[], bool] | None = None,
    premultiplied: bool = False,
    quality: float | None = None,
    codec: str | None = None,
    bitrate: int | None = None,
    overwrite: bool = False,
    frame_rate: Fraction | float | None = None,
    start: Fraction | float = 0,
    duration: Fraction | float | None = None,
    keep_audio: bool = True,
    edges: "EdgeOptions | None" = None,
    decontaminate: float = 1,
    resume: bool = False,
    hwaccel: str = "none",
    cfr: Fraction | float | None = None,
    deinterlace: str = "no",
) -> "ClipReport":
    """Mattes a clip into one or several files in one pass, as fast as the command line does. Memory does not grow with
    the clip's length.

    source: a video, a picture, or an image sequence (a folder, "shots/*.png", "shot_%05d.png"); or an http(s) address,
        a pipe, or "-" for standard input, which are copied into a temporary file first.
    output: the file to write; its suffix chooses the format. With transparency: .mov, .webm, .mkv, .png, .tif, .exr,
        .apng, .webp, .gif; .mp4 shows the person over the background. Or several files; or a folder (any name without a
        suffix), in which the file is named after the source, with the suffix `format` (default: mov, of a picture png).
    program: "premiere", "resolve", "fcp", "ae", "web" or "obs": the format, frame rate and alpha that it wants, where
        no other argument says it; a note of the report says what was chosen.
    alpha, foreground: also write the alpha (grey), the person's colours (over black). preview: also draw a contact
        sheet (.png, .jpg).
    background: a colour ("white", "#00b140"), a picture, a video, "blur", or frames [T, 3, H, W], float 0..1 or uint8:
        every output then shows the person over it. None: green, and only where the format has no transparency.
    downsample_ratio: how far the network's own picture is reduced: "auto" (longest side 512), "portrait", "full_body",
        or a number, 0 < ratio <= 1. The output is always full resolution.
    warm_up: frames replayed before the first one. scene_cut: True, or a threshold (0..2), to start over at every cut.
        chunk: frames through the network at once. See Session.
    variant, weights, device, engine, precision, threads, refiner, mirror: see load; or engine: what `load` returned,
        for several clips one after the other.
    progress: called as progress(frames done, frames in all or None) after every chunk. stopped: asked before every
        chunk; once it returns True, the files are finished under `.partial` names and the report says `stopped`.
    premultiplied: premultiplied instead of straight colours. quality: of lossy formats, lower is better (crf of .mp4
        and .webm, quantiser of .mov). codec: instead of the format's own ("prores-hq", "dnxhr-hqx", "hevc", "av1", ...;
        docs/formats.md lists them). bitrate: bits per second instead of a quality, for H.264, HEVC and AV1. overwrite:
        replace files that exist. frame_rate: of image sequences (25).
    start, duration: seconds; the part of the clip that is matted. keep_audio: copy the sound. edges: an EdgeOptions,
        for all outputs. decontaminate: 1 takes the network's colours of the person, 0 the source's own.
    max_size: frames that are larger are reduced first, so that their longest side has this many pixels; outputs, too.
    view_lut: a .cube file (from the clip's log profile to Rec. 709) through which the network sees the clip; the
        outputs keep the clip's own values. HDR (PQ, HLG) needs none: the network sees it tone-mapped.
    resume: continue what a stopped call left. hwaccel: decode on a device ("auto", "cuda", ...; experimental).
    cfr: frames per second of a video's outputs, at equal distances; None: the times of the source. deinterlace: "frame"
        or "field" for one frame from each interlaced frame or each field.

    Returns a ClipReport: outputs, frames, seconds, notes, damage, stopped. Raises StudioError, before anything is
    loaded where possible, for a source that cannot be read, outputs that cannot be written, settings that do not fit.

    In a script of your own, `tune_process()` at its very beginning makes large videos faster (see its documentation).

    >>> import rvm_studio
    >>> report = rvm_studio.matte("clip.mp4", "cut.mov", alpha="alpha.mp4")
    >>> report.frames, [path.name for path in report.outputs]
    (12, ['cut.mov', 'alpha.mp4'])
    """
    from ..video.reader import check_source, given_rate
    from ..video.reduced_size import checked_max_size
    from .programs import fit_to_program, format_for_program
    from .spool import is_spooled, spool_name, spooled

    rate = None if frame_rate is None else given_rate(frame_rate)
    copied = is_spooled(source)
    if not copied:
        check_source(source)
    name = spool_name(os.fspath(source)) if copied else source
    still = is_still(name)
    format = format_for_program(program, format, still)
    paths = place_outputs(name, output, alpha, foreground, preview, format=format, codec=codec, still=still)

    from torch import Tensor

    from ..engines.loading import load
    from ..stream.downsample_ratio import choose_downsample_ratio
    from ..stream.session import MattingSession
    from .background import Background
    from .matte_clip import matte_clip
    from .options import ClipOptions
    from .unused_settings import unused_settings

    over_background = background is not None
    if background is None:
        background = ClipOptions.background
    elif not isinstance(background, Tensor):
        background = os.fspath(background)
    options = ClipOptions(
        background=background,
        premultiplied=premultiplied,
        quality=quality,
        codec=codec,
        bitrate=bitrate,
        view_lut=None if view_lut is None else given_path(view_lut),
        max_size=checked_max_size(max_size),
        overwrite=overwrite,
        preview=paths.preview,
        frame_rate=rate,
        start=start,
        duration=duration,
        keep_audio=keep_audio,
        edges=edges,
        decontaminate=decontaminate,
        resume=resume,
        hwaccel=hwaccel,
        cfr=cfr,
        deinterlace=deinterlace,
    )
    if isinstance(engine, str):
        choose_downsample_ratio(downsample_ratio, 1080, 1920)  # raises for an unusable one
        Background(background).close()
        engine = load(variant, weights, device, engine, precision, threads=threads, refiner=refiner, mirror=mirror)
    elif (variant, weights, device, precision, threads, refiner, mirror) != _FOR_LOADING:
        raise StudioError(
            "A loaded engine was given together with variant, weights, device, precision, threads, refiner or mirror, "
            "which apply only to loading: give them to load(), and only its result here."
        )
    session = MattingSession(
        engine, downsample_ratio=downsample_ratio, chunk=chunk, warm_up=warm_up, scene_cut=scene_cut
    )
    outputs = outputs_for(paths, over_background, codec)
    with spooled(os.fspath(source)) if copied else contextlib.nullcontext(source) as path:
        asked, chosen = options, ""
        if program is not None:
            options, chosen = fit_to_program(program, path, outputs, options)
        report = matte_clip(path, outputs, session, options, on_progress=progress, stopped=stopped)
    report.source = Path(name)
    report.notes = [*filter(None, [chosen]), *report.notes]
    report.notes += unused_settings(report.kind, outputs, asked, over_background)
    return report

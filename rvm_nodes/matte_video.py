"""RVM Matte Video: mattes a whole clip into new clips. It is streamed: an hour takes as little memory as a second."""

from contextlib import ExitStack

from ..core import StudioError
from . import comfy_host, input_files
from .comfy_host import explained
from .matte_options import STATE, matte_widgets
from .model import RVMModel
from .video_input import clip_file
from .video_job import run_job
from .widgets import entry

VIDEO = entry("VIDEO", "From Load Video, Create Video, Trim Video ... It is read frame by frame, never loaded whole.")


@explained
class RVMMatteVideo:
    DISPLAY_NAME = "RVM Matte Video"
    DESCRIPTION = (
        "Cuts people out of a whole clip of any length and puts them over a colour, a picture, another clip or the "
        "blurred background. Sound and frame times are kept. For files with transparency use RVM Save Alpha Video."
    )
    CATEGORY = "video/matting"
    FUNCTION = "matte"
    RETURN_TYPES = ("VIDEO", "VIDEO", "RVM_STATE", "INT", "FLOAT")
    RETURN_NAMES = ("video", "alpha", "state", "frame_count", "fps")
    OUTPUT_TOOLTIPS = (
        "The picture chosen with output, as H.264 with the clip's sound. Save Video stores it without re-encoding.",
        "The mask as a greyscale clip: white is the person.",
        "The network's memory after the last frame, for the clip that follows.",
        "Number of frames.",
        "Nominal frame rate, in frames per second.",
    )

    @classmethod
    def INPUT_TYPES(cls):  # noqa: N802
        return {
            "required": {
                "model": entry("RVM_MODEL", "From RVM Load Model."),
                "video": VIDEO,
                "output": entry(
                    ["composite", "foreground", "alpha"],
                    "composite: the person over the background. foreground: the person's colours "
                    "over black, for use with the alpha. alpha: the mask only (faster).",
                    default="composite",
                ),
                "background": entry(
                    "STRING",
                    "For the composite: a colour (white, #00b140), blur to blur the clip's own background, or the "
                    "name of a picture or clip in ComfyUI's input folder. background_image and background_video "
                    "override it.",
                    default="#00b140",
                ),
                **matte_widgets(),
            },
            "optional": {
                "background_image": entry("IMAGE", "For the composite: a picture, or several frames (looped)."),
                "background_video": entry("VIDEO", "For the composite: a clip, played at its own speed and looped."),
                "state": STATE,
            },
        }

    def matte(
        self, model, video, output, background, background_image=None, background_video=None, state=None, **options
    ):
        from ..core import ClipOptions, Output, frames_from_pictures

        if background_image is not None and background_video is not None:
            raise StudioError("Both background_image and background_video are connected. Disconnect one of them.")
        alpha = Output(comfy_host.temporary_file("_alpha.mp4"), "alpha", disposable=True)
        picture = Output(comfy_host.temporary_file(".mp4"), output, disposable=True) if output != "alpha" else alpha
        with ExitStack() as files:
            clip = files.enter_context(clip_file(video))
            if background_video is not None:
                background = str(files.enter_context(clip_file(background_video, whole=True)).path)
            elif background_image is not None:
                background = frames_from_pictures(background_image[..., :3])
            else:
                background = input_files.background(background)
            clip_options = ClipOptions(background=background, start=clip.start, duration=clip.duration)
            files.enter_context(comfy_host.removed_on_fault(picture.path, alpha.path))
            session = RVMModel.session(model, clip.info.height, clip.info.width, state=state, **options)
            job = run_job(session, clip, list(dict.fromkeys([picture, alpha])), clip_options)
        videos = (comfy_host.video_from_file(output.path) for output in (picture, alpha))
        return *videos, job.state, job.report.frames, float(clip.info.frame_rate)

"""RVM Save Alpha Video and RVM Save RGBA: files with transparency, for video editors and the web."""

from fractions import Fraction

from ..core import StudioError
from . import comfy_host
from .comfy_host import explained
from .compositing import BLACK_POINT, FEATHER, GROW, WHITE_POINT
from .matte_options import STATE, matte_widgets
from .matte_video import VIDEO
from .model import RVMModel
from .video_input import audio_track, clip_file
from .video_job import resumable, run_job
from .widgets import entry

SUFFIXES = {
    "ProRes 4444": ".mov",
    "VP9": ".webm",
    "FFV1": ".mkv",
    "PNG sequence": ".png",
    "APNG": ".apng",
    "WebP": ".webp",
}
PREFIX = entry(
    "STRING",
    "Name of the file in ComfyUI's output folder, optionally with subfolders. A number is appended.",
    default="video/RVM",
)
FORMAT = entry(
    list(SUFFIXES),
    "ProRes 4444 (.mov): video editors. VP9 (.webm): browsers, OBS. FFV1 (.mkv): lossless "
    "archive. PNG sequence: a folder of PNG files. APNG, WebP: short animations without "
    "sound.",
    default="ProRes 4444",
)
ALPHA = entry(
    ["straight", "premultiplied"],
    "How the colours are stored. Choose premultiplied only if your editor requires it; PNG, "
    "APNG and WebP are always straight.",
    default="straight",
)


@explained
class RVMSaveAlphaVideo:
    DISPLAY_NAME = "RVM Save Alpha Video"
    DESCRIPTION = (
        "Cuts people out of a whole clip of any length and writes them, frame by frame, to a file with transparency "
        "and the clip's sound."
    )
    CATEGORY = "video/matting"
    FUNCTION = "save"
    RETURN_TYPES = ("STRING", "RVM_STATE")
    RETURN_NAMES = ("path", "state")
    OUTPUT_TOOLTIPS = (
        "The file, or the folder of a PNG sequence.",
        "The network's memory after the last frame, for the clip that follows.",
    )
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls):  # noqa: N802
        return {
            "required": {
                "model": entry("RVM_MODEL", "From RVM Load Model."),
                "video": VIDEO,
                "filename_prefix": PREFIX,
                "format": FORMAT,
                "alpha": ALPHA,
                "keep_audio": entry("BOOLEAN", "Copy the clip's sound into the file.", default=True),
                "resume": entry(
                    "BOOLEAN",
                    "Resume a cancelled file if the clip and all settings are the same. "
                    "On or off, a cancelled job keeps the finished frames in a .partial file.",
                    default=True,
                ),
                "grow": GROW,
                "feather": FEATHER,
                "black_point": BLACK_POINT,
                "white_point": WHITE_POINT,
                "decontaminate": entry(
                    "FLOAT",
                    "1: the person's own colours at soft edges, without background colour. 0: the clip's colours.",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                ),
                **matte_widgets(),
            },
            "optional": {"state": STATE},
        }

    def save(
        self, model, video, filename_prefix, format, alpha, keep_audio, resume, decontaminate, state=None, **options
    ):
        from ..core import ClipOptions, EdgeOptions, Output

        edges = EdgeOptions(*(options.pop(name) for name in ("grow", "feather", "black_point", "white_point")))
        preview = Output(comfy_host.temporary_file(".mp4"), "preview")
        with clip_file(video) as clip, comfy_host.removed_on_fault(preview.path):
            clip_options = ClipOptions(
                premultiplied=alpha == "premultiplied",
                edges=edges,
                decontaminate=decontaminate,
                keep_audio=keep_audio,
                start=clip.start,
                duration=clip.duration,
                resume=resume,
            )
            session = RVMModel.session(model, clip.info.height, clip.info.width, state=state, **options)
            place = comfy_host.output_place(filename_prefix, clip.info.width, clip.info.height, SUFFIXES[format])
            outputs = resumable([Output(place, "matte"), preview], session, clip, clip_options)
            job = run_job(session, clip, outputs, clip_options)
        path = str(job.report.outputs[0])
        return {"ui": comfy_host.shown_video(preview.path), "result": (path, job.state)}


@explained
class RVMSaveRGBA:
    DISPLAY_NAME = "RVM Save RGBA"
    DESCRIPTION = (
        "Writes frames with transparency to a file, optionally with sound. Fully transparent pixels are black, so your "
        "room is not hidden inside the file."
    )
    CATEGORY = "video/matting"
    FUNCTION = "save"
    RETURN_TYPES = ("STRING",)
    RETURN_NAMES = ("path",)
    OUTPUT_TOOLTIPS = ("The file, or the folder of a PNG sequence.",)
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls):  # noqa: N802
        return {
            "required": {
                "images": entry("IMAGE", "The rgba output of RVM Matte or RVM Decontaminate."),
                "fps": entry(
                    "FLOAT",
                    "Frames per second, such as the fps of Get Video Components.",
                    default=25.0,
                    min=0.01,
                    max=1000.0,
                    step=0.001,
                ),
                "filename_prefix": PREFIX,
                "format": FORMAT,
                "alpha": ALPHA,
            },
            "optional": {"audio": entry("AUDIO", "Sound for the file, cut to the length of the frames.")},
        }

    def save(self, images, fps, filename_prefix, format, alpha, audio=None):
        from ..core import write_frames

        if images.ndim != 4 or images.shape[-1] != 4:
            raise StudioError(
                f"The images have the shape {list(images.shape)}; expected [frames, height, width, 4]. Connect the "
                "rgba output of RVM Matte (foreground has no transparency)."
            )
        if not len(images):
            raise StudioError("There are no images to save. Check the node that is connected to images.")
        height, width = images.shape[1:3]
        rate = Fraction(fps).limit_denominator(1001)
        path, notes = write_frames(
            comfy_host.output_place(filename_prefix, width, height, SUFFIXES[format]),
            images,
            frame_rate=rate,
            premultiplied=alpha == "premultiplied",
            audio=audio_track(audio),
            on_progress=comfy_host.Progress(len(images)),
            stopped=comfy_host.is_cancelled,
        )
        comfy_host.report_notes(path, notes)
        preview = comfy_host.temporary_file(".mp4")
        write_frames(preview, comfy_host.preview_frames(images), frame_rate=rate, stopped=comfy_host.is_cancelled)
        return {"ui": comfy_host.shown_video(preview), "result": (str(path),)}

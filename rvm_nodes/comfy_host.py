"""All calls to ComfyUI: folders, memory, progress, cancelling. ComfyUI is imported only when it is needed, so the nodes
can be loaded, and their schemas read, without it.
"""

# T frames, C channels, H, W

import functools
import logging
import math
import sys
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core import STARTER_PATH, WEIGHTS_CATALOGUE, DownloadError, StudioError, models_dir
from .node_inputs import checked

if TYPE_CHECKING:
    import torch
    from torch import Tensor

log = logging.getLogger(__name__)

MODEL_KEY = "rvm"
SECONDS_BETWEEN_PREVIEWS = 0.5
PREVIEW_SIDE = 512  # pixels, the longest side


# ---- folders


def model_folders() -> list[Path]:
    """The folders searched for weights: ComfyUI's `rvm` folders (models/rvm, extra_model_paths.yaml), then the folder
    that install.py and the command line download to. Without ComfyUI, only the latter."""
    try:
        import folder_paths
    except ModuleNotFoundError:
        return [models_dir()]
    folder_paths.add_model_folder_path(MODEL_KEY, str(Path(folder_paths.models_dir) / MODEL_KEY))
    return [*map(Path, folder_paths.get_folder_paths(MODEL_KEY)), models_dir()]


def weights_names() -> list[str]:
    """Names for the model widget: the official weights (downloaded on first use), then other files found."""
    from ..core import WEIGHTS_SUFFIXES

    official = [entry.installed_name for entry in WEIGHTS_CATALOGUE.values()]
    found = {
        path.relative_to(folder).as_posix()
        for folder in model_folders()
        for path in (sorted(folder.rglob("*")) if folder.is_dir() else [])
        if path.suffix in WEIGHTS_SUFFIXES and ".partial" not in path.name
    }
    return [*official, *sorted(found - set(official))]


def weights_path(name: str) -> Path:
    """Path of the named weights file. Missing official weights are downloaded to the first folder and verified by
    SHA-256. Raises StudioError."""
    from ..core import fetch_weights

    folders = model_folders()
    if Path(name).is_absolute() or ".." in Path(name).parts or "\0" in name:
        raise StudioError(f"{name!r} is not the name of a file in models/rvm. Choose one from the list.")
    for folder in folders:
        if (folder / name).is_file():
            return folder / name
    official = {entry.installed_name: entry.name for entry in WEIGHTS_CATALOGUE.values()}
    if name in official:
        try:
            return fetch_weights(official[name], folder=folders[0])
        except DownloadError as error:
            error.choices = (
                "queue again with a network connection; to download from another address, set the environment "
                "variable RVM_MIRROR before you start ComfyUI",
                f"put {error.file_name} into {error.folder}, then queue again",
                f"use the bundled weights, which give a rough result: copy {STARTER_PATH} into {error.folder}, "
                "refresh, and choose that file as the model",
            )
            raise
    raise StudioError(
        f"The weights {name} are in none of {', '.join(map(str, folders))}. Put them into one of these folders, then "
        "refresh."
    )


def output_place(prefix: str, width: int, height: int, suffix: str) -> Path:
    """Path of a new file in the output folder, numbered as ComfyUI numbers its own: prefix_00001_.mov.

    `prefix` may contain subfolders and ComfyUI's %date% tokens. Raises StudioError if it leads out of the folder."""
    import folder_paths

    try:
        folder, name, counter, _, _ = folder_paths.get_save_image_path(
            prefix, folder_paths.get_output_directory(), width, height
        )
    except Exception as error:  # ComfyUI raises a bare Exception here
        raise StudioError(
            f"The filename prefix {prefix!r} is not a path inside ComfyUI's output folder ({error}). "
            "Use a name such as video/RVM."
        ) from error
    return Path(folder) / f"{name}_{counter:05}_{suffix}"


def temporary_file(suffix: str) -> Path:
    """Path of a new file in ComfyUI's temp folder, which ComfyUI empties when it starts and when it exits."""
    import folder_paths

    folder = Path(folder_paths.get_temp_directory())
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"rvm_{uuid.uuid4().hex[:12]}{suffix}"


def video_from_file(path: Path) -> Any:
    """A VIDEO output that reads the file only when it is used."""
    from comfy_api.input_impl import VideoFromFile

    return VideoFromFile(str(path))


def report_notes(path: Path, notes: Iterable[str]) -> None:
    """Writes notes about a file to ComfyUI's log."""
    for note in notes:
        log.warning("%s: %s", path.name, note)


def shown_video(path: Path) -> dict[str, Any]:
    """The `ui` entry that plays a file from the temp folder on the node."""
    return {"images": ({"filename": path.name, "subfolder": "", "type": "temp"},), "animated": (True,)}


@contextmanager
def removed_on_fault(*paths: Path) -> Iterator[None]:
    """Deletes these files of the temp folder, finished or not, if the block raises (cancelling raises, too)."""
    try:
        yield
    except BaseException:
        for path in paths:
            for file in path.parent.glob(f"{path.stem}*"):  # the stems are unique; unfinished files share them
                file.unlink(missing_ok=True)
        raise


# ---- memory


def torch_device(wanted: str) -> "torch.device":
    """The device for "auto" (ComfyUI's choice) or "cpu"."""
    import torch
    from comfy import model_management

    return torch.device("cpu") if wanted == "cpu" else model_management.get_torch_device()


def half_is_allowed(device: "torch.device") -> bool:
    """Whether ComfyUI (flags such as --force-fp32, its list of GPUs) allows fp16 on the device."""
    from comfy import model_management

    return model_management.should_use_fp16(device)


def result_device() -> "torch.device":
    """The device for outputs: the CPU, unless ComfyUI runs with --gpu-only."""
    from comfy import model_management

    return model_management.intermediate_device()


def patcher_for(module: "torch.nn.Module", device: "torch.device"):
    """Hands a module to ComfyUI's memory management, which loads it onto the device and offloads it again."""
    import torch
    from comfy import model_management, model_patcher

    rests_on = torch.device("cpu") if device.type == "cpu" else model_management.unet_offload_device()
    return model_patcher.ModelPatcher(module.to(rests_on), load_device=device, offload_device=rests_on)


def load_on_device(patcher: Any, working_memory: int) -> None:
    """Loads a model onto its device now and keeps `working_memory` bytes free; ComfyUI offloads other models for it."""
    from comfy import model_management

    model_management.load_models_gpu([patcher], memory_required=working_memory, force_full_load=True)


# ---- cancelling and progress


def is_cancelled() -> bool:
    """Whether the user has pressed cancel."""
    from comfy import model_management

    return model_management.processing_interrupted()


def end_if_cancelled() -> None:
    """Raises ComfyUI's own exception if the user has pressed cancel."""
    from comfy import model_management

    model_management.throw_exception_if_processing_interrupted()


class Progress:
    """The node's progress bar, with a small picture of the matte from time to time.

    Called with (frames done, total frames or None); `show` may be called for every frame."""

    def __init__(self, total: int | None = None):
        from comfy import utils

        self._bar = utils.ProgressBar(total or 1)
        self._done, self._total = 0, total
        self._last_preview = -math.inf

    def __call__(self, done: int, total: int | None) -> None:
        # A frame count from a file's header may be an estimate. The bar must not be full before the end.
        self._done, self._total = done, total if total and total >= done else done + 1
        self._update(None)

    def show(self, fgr: "Tensor | None", pha: "Tensor") -> None:
        """Shows fgr [1, 3, H, W] (or None) and pha [1, 1, H, W], float, as a picture, at most twice a second."""
        now = time.monotonic()
        if now - self._last_preview < SECONDS_BETWEEN_PREVIEWS:
            return
        self._last_preview = now
        self._update(("JPEG", preview_picture(fgr, pha), PREVIEW_SIDE))

    def _update(self, picture: tuple | None) -> None:
        from comfy import model_management

        try:
            self._bar.update_absolute(self._done, self._total, picture)
        except model_management.InterruptProcessingException:
            # On a cancel, ComfyUI's bar raises inside the caller. Our work stops between two frames, where files can be
            # finished, so the cancel is set again and found there.
            model_management.interrupt_current_processing()


def preview_picture(fgr: "Tensor | None", pha: "Tensor"):
    """A small PIL picture of the person over a checkerboard, or of the alpha alone if there is no foreground."""
    import torch
    import torch.nn.functional as F
    from PIL import Image

    from ..core import checkerboard, composite, pictures_from_frames, quantise

    H, W = pha.shape[-2:]  # noqa: N806
    scale = min(1.0, PREVIEW_SIDE / max(H, W))
    size = (max(1, round(H * scale)), max(1, round(W * scale)))
    small = [F.interpolate(x.float(), size, mode="area") for x in ((fgr, pha) if fgr is not None else (pha,))]
    shown = small[0].expand(-1, 3, -1, -1)
    if fgr is not None:
        shown = composite(small[0], small[1], checkerboard(*size, device=pha.device))
    return Image.fromarray(pictures_from_frames(quantise(shown, torch.uint8))[0])


def preview_frames(rgba: "Tensor") -> Iterator[Any]:
    """RGBA pictures [T, H, W, 4] -> small pictures [h, w, 3] (uint8 arrays) over a checkerboard, one at a time."""
    import numpy as np

    for picture in rgba:
        frame = picture.permute(2, 0, 1)[None]
        yield np.asarray(preview_picture(frame[:, :3], frame[:, 3:]))


def cancels() -> tuple[type[Exception], ...]:
    """ComfyUI's exception for a cancel, if it is one that `except Exception` would catch."""
    if "comfy.model_management" not in sys.modules:
        return ()
    kind = sys.modules["comfy.model_management"].InterruptProcessingException
    return (kind,) if issubclass(kind, Exception) else ()


def explained(node: type) -> type:
    """Class decorator, the boundary of every node: checks its inputs, and turns any exception into a StudioError that
    starts with the node's name. A cancel raises ComfyUI's own exception, and a lack of memory passes, for which ComfyUI
    frees memory."""
    method_name = node.FUNCTION  # pyright: ignore[reportAttributeAccessIssue]
    method: Callable = getattr(node, method_name)

    @functools.wraps(method)
    def run(self, *arguments, **named):
        from ..core import Stopped, boundary

        try:
            with boundary("The node failed", "check what is connected to its inputs", Stopped, *cancels()):
                return method(self, **checked(node, method, arguments, named))
        except Stopped:
            end_if_cancelled()
            raise
        except StudioError as error:
            raise StudioError(f"{node.DISPLAY_NAME}: {error}") from error  # pyright: ignore

    setattr(node, method_name, run)
    return node

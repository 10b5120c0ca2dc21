"""Everything the nodes ask of ComfyUI: folders, memory, progress, cancelling. ComfyUI is imported when first needed,
so that the nodes load, and their schemas can be read, without it.
"""

# T frames, C channels, H, W

import functools
import logging
import math
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core import STARTER_PATH, WEIGHTS_CATALOGUE, DownloadError, StudioError, models_dir

if TYPE_CHECKING:
    import torch
    from torch import Tensor

log = logging.getLogger(__name__)

MODEL_KEY = "rvm"
SECONDS_BETWEEN_PREVIEWS = 0.5
PREVIEW_SIDE = 512  # pixels, the longest side


# ---- folders


def model_folders() -> list[Path]:
    """Where weights are looked for: ComfyUI's `rvm` folders (models/rvm, extra_model_paths.yaml), then the folder that
    install.py and the command line download into. Without ComfyUI only the last."""
    try:
        import folder_paths
    except ModuleNotFoundError:
        return [models_dir()]
    folder_paths.add_model_folder_path(MODEL_KEY, str(Path(folder_paths.models_dir) / MODEL_KEY))
    return [*map(Path, folder_paths.get_folder_paths(MODEL_KEY)), models_dir()]


def weights_names() -> list[str]:
    """Names for the model widget: the official weights (fetched when first used), then other files that are there."""
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
    """The file of that name; official weights that are nowhere are downloaded, checked by SHA-256, into the first of
    the folders. Raises StudioError."""
    from ..core import fetch_weights

    folders = model_folders()
    for folder in folders:
        if (folder / name).is_file():
            return folder / name
    official = {entry.installed_name: entry.name for entry in WEIGHTS_CATALOGUE.values()}
    if name in official:
        try:
            return fetch_weights(official[name], folder=folders[0])
        except DownloadError as error:
            error.choices = (
                "queue again with a network; the variable RVM_MIRROR, set where ComfyUI is started, names another "
                "address to download from",
                f"put {error.file_name} into {error.folder}, then queue again",
                f"bundled, rough: copy {STARTER_PATH} into {error.folder}, refresh, and choose it as the model",
            )
            raise
    raise StudioError(
        f"The weights {name} are in none of {', '.join(map(str, folders))}. Put them there, then refresh."
    )


def output_place(prefix: str, width: int, height: int, suffix: str) -> Path:
    """A file of the output folder that is not there yet, numbered as ComfyUI's own: prefix_00001_.mov.

    `prefix` may hold subfolders and ComfyUI's %date% tokens. Raises StudioError where it leads out of the folder."""
    import folder_paths

    try:
        folder, name, counter, _, _ = folder_paths.get_save_image_path(
            prefix, folder_paths.get_output_directory(), width, height
        )
    except Exception as error:  # ComfyUI raises a bare Exception here
        raise StudioError(
            f"The filename prefix {prefix!r} does not name a place in ComfyUI's output folder ({error}). "
            "Use a name such as video/RVM."
        ) from error
    return Path(folder) / f"{name}_{counter:05}_{suffix}"


def temporary_file(suffix: str) -> Path:
    """A name in ComfyUI's temp folder, which ComfyUI empties when it starts and ends."""
    import folder_paths

    folder = Path(folder_paths.get_temp_directory())
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"rvm_{uuid.uuid4().hex[:12]}{suffix}"


def video_from_file(path: Path) -> Any:
    """A VIDEO output that reads from the file when it is used."""
    from comfy_api.input_impl import VideoFromFile

    return VideoFromFile(str(path))


def report_notes(path: Path, notes: Iterable[str]) -> None:
    """What a user should know about a file, into ComfyUI's log."""
    for note in notes:
        log.warning("%s: %s", path.name, note)


def shown_video(path: Path) -> dict[str, Any]:
    """The `ui` entry that plays a file of the temp folder on the node."""
    return {"images": ({"filename": path.name, "subfolder": "", "type": "temp"},), "animated": (True,)}


@contextmanager
def removed_on_fault(*paths: Path) -> Iterator[None]:
    """Files of the temp folder, finished or not, go when the block ends by an exception (a cancel is one)."""
    try:
        yield
    except BaseException:
        for path in paths:
            for file in path.parent.glob(f"{path.stem}*"):  # their names are unique; what is unfinished begins alike
                file.unlink(missing_ok=True)
        raise


# ---- memory


def torch_device(wanted: str) -> "torch.device":
    """The device for "auto" (ComfyUI's choice) or "cpu"."""
    import torch
    from comfy import model_management

    return torch.device("cpu") if wanted == "cpu" else model_management.get_torch_device()


def half_is_allowed(device: "torch.device") -> bool:
    """Whether ComfyUI (its flags --force-fp32 and the like, its list of cards) wants fp16 on the device."""
    from comfy import model_management

    return model_management.should_use_fp16(device)


def result_device() -> "torch.device":
    """Where outputs belong: the CPU, unless ComfyUI runs with --gpu-only."""
    from comfy import model_management

    return model_management.intermediate_device()


def patcher_for(module: "torch.nn.Module", device: "torch.device"):
    """Hands a module to ComfyUI's memory management, which moves it to the device and away again."""
    import torch
    from comfy import model_management, model_patcher

    rests_on = torch.device("cpu") if device.type == "cpu" else model_management.unet_offload_device()
    return model_patcher.ModelPatcher(module.to(rests_on), load_device=device, offload_device=rests_on)


def load_on_device(patcher: Any, working_memory: int) -> None:
    """Brings a model to its device now, with `working_memory` bytes free beside it; ComfyUI puts others out for it."""
    from comfy import model_management

    model_management.load_models_gpu([patcher], memory_required=working_memory, force_full_load=True)


# ---- manners


def is_cancelled() -> bool:
    """Whether the user has pressed cancel."""
    from comfy import model_management

    return model_management.processing_interrupted()


def end_if_cancelled() -> None:
    """Raises ComfyUI's own exception for it where the user has pressed cancel."""
    from comfy import model_management

    model_management.throw_exception_if_processing_interrupted()


class Progress:
    """The node's progress bar, with a small picture of the matte now and then.

    Called with (frames done, frames in all or None); `show` may be called for every frame."""

    def __init__(self, total: int | None = None):
        from comfy import utils

        self._bar = utils.ProgressBar(total or 1)
        self._done, self._total = 0, total
        self._last_preview = -math.inf

    def __call__(self, done: int, total: int | None) -> None:
        # A count from a file's header may be an estimate: the bar is full at the end and not before.
        self._done, self._total = done, total if total and total >= done else done + 1
        self._update(None)

    def show(self, fgr: "Tensor | None", pha: "Tensor") -> None:
        """fgr [1, 3, H, W] (or None) and pha [1, 1, H, W], float: sent on as a picture, twice a second at most."""
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
            # ComfyUI's bar ends the node in the middle of whatever calls it. Here work ends between two frames, where
            # files can be finished: the cancel is put back, to be found there.
            model_management.interrupt_current_processing()


def preview_picture(fgr: "Tensor | None", pha: "Tensor"):
    """A small PIL picture of the person over a checkerboard; of the alpha where there is no foreground."""
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
    """RGBA pictures [T, H, W, 4] -> small pictures [h, w, 3] (uint8 arrays) over a checkerboard, one by one."""
    import numpy as np

    for picture in rgba:
        frame = picture.permute(2, 0, 1)[None]
        yield np.asarray(preview_picture(frame[:, :3], frame[:, 3:]))


def explained(node: type) -> type:
    """Class decorator: the node's faults begin with its name, and a cancel inside it ends as ComfyUI's own."""
    method_name = node.FUNCTION  # pyright: ignore[reportAttributeAccessIssue]
    method: Callable = getattr(node, method_name)

    @functools.wraps(method)
    def run(self, *arguments, **named):
        from ..core import Stopped

        try:
            return method(self, *arguments, **named)
        except Stopped:
            end_if_cancelled()
            raise
        except StudioError as error:
            raise StudioError(f"{node.DISPLAY_NAME}: {error}") from error  # pyright: ignore

    setattr(node, method_name, run)
    return node

"""A small stand-in for the parts of ComfyUI that the nodes use: what they call, how, and what they rely on.

`USES` lists every call; a test holds it against this file, and another one against a real ComfyUI where there is one.
"""

import os
import sys
import types
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import torch

# (module, function or class): (number of positional arguments, names of keyword arguments)
USES = {
    ("folder_paths", "add_model_folder_path"): (2, ()),
    ("folder_paths", "get_folder_paths"): (1, ()),
    ("folder_paths", "get_save_image_path"): (4, ()),
    ("folder_paths", "get_output_directory"): (0, ()),
    ("folder_paths", "get_input_directory"): (0, ()),
    ("folder_paths", "get_temp_directory"): (0, ()),
    ("comfy.model_management", "get_torch_device"): (0, ()),
    ("comfy.model_management", "unet_offload_device"): (0, ()),
    ("comfy.model_management", "intermediate_device"): (0, ()),
    ("comfy.model_management", "should_use_fp16"): (1, ()),
    ("comfy.model_management", "load_models_gpu"): (1, ("memory_required", "force_full_load")),
    ("comfy.model_management", "processing_interrupted"): (0, ()),
    ("comfy.model_management", "throw_exception_if_processing_interrupted"): (0, ()),
    ("comfy.model_management", "interrupt_current_processing"): (0, ()),
    ("comfy.model_patcher", "ModelPatcher"): (1, ("load_device", "offload_device")),
    ("comfy.utils", "ProgressBar"): (1, ()),
    ("comfy.utils", "ProgressBar.update_absolute"): (4, ()),  # self, value, total, preview
    ("comfy_api.input_impl", "VideoFromFile"): (1, ()),
    ("comfy_api.input_impl", "VideoFromFile.get_stream_source"): (1, ()),
    ("comfy_api.input_impl", "VideoFromFile.get_components"): (1, ()),
    ("comfy_api.input_impl", "VideoFromFile.save_to"): (2, ()),
    ("comfy_api.input_impl", "VideoFromComponents"): (1, ()),
    ("comfy_api.input_impl", "VideoFromComponents.get_components"): (1, ()),
}
MODULES = ("comfy", "comfy.model_management", "comfy.model_patcher", "comfy.utils", "comfy_api", "comfy_api.input_impl")


class InterruptProcessingException(BaseException):  # an Exception in older versions, a BaseException in newer ones
    pass


class ModelPatcher:
    def __init__(self, model, load_device, offload_device, size=0, weight_inplace_update=False):
        self.model, self.load_device, self.offload_device = model, load_device, offload_device


class VideoFromFile:
    """A clip on the disk, with the trim of newer versions."""

    def __init__(self, file, *, start_time=0.0, duration=0.0):
        self.file, self.window = file, (float(start_time), float(duration))

    def get_stream_source(self):
        return self.file

    def get_active_trim_window(self):
        return self.window

    def get_components(self):
        raise AssertionError("a clip must not be loaded as a whole")

    def save_to(self, path, format=None, codec=None, metadata=None):
        raise AssertionError("a clip on the disk must not be written again")


class VideoFromComponents:
    """A clip in memory."""

    def __init__(self, components):
        self.components = components

    def get_components(self):
        return self.components

    def save_to(self, path, format=None, codec=None, metadata=None):
        raise AssertionError("frames in memory must not go through a lossy file")


def components(images: torch.Tensor, frame_rate: Fraction = Fraction(25), audio: dict | None = None) -> SimpleNamespace:
    return SimpleNamespace(images=images, audio=audio, frame_rate=frame_rate)


class FakeComfy:
    """The host's state: folders below `root`, what was loaded and shown, and the cancel button.

    cancel_after: counts down with every look at the button; at 0 it is pressed."""

    def __init__(self, root: Path):
        self.root = root
        self.device = torch.device("cpu")
        self.fp16 = False
        self.loaded: list[tuple[object, int]] = []
        self.progress: list[tuple[int, int]] = []
        self.previews: list = []
        self.interrupted = False
        self.cancel_after: int | None = None
        self.folders: dict[str, list[str]] = {}
        for name in ("output", "input", "temp", "models"):
            (root / name).mkdir(parents=True)

    # folder_paths

    def add_model_folder_path(self, folder_name, full_folder_path, is_default=False):
        paths = self.folders.setdefault(folder_name, [])
        if full_folder_path not in paths:
            paths.append(full_folder_path)

    def get_save_image_path(self, filename_prefix, output_dir, image_width=0, image_height=0):
        folder = os.path.abspath(os.path.join(output_dir, os.path.dirname(filename_prefix)))
        if os.path.commonpath((output_dir, folder)) != output_dir:
            raise Exception("Saving image outside the output folder is not allowed.")
        os.makedirs(folder, exist_ok=True)
        name = os.path.basename(filename_prefix)
        taken = [file[len(name) + 1 :].split("_")[0] for file in os.listdir(folder) if file.startswith(name + "_")]
        counter = max((int(digits) for digits in taken if digits.isdigit()), default=0) + 1
        return folder, name, counter, os.path.dirname(filename_prefix), filename_prefix

    # comfy.model_management

    def load_models_gpu(
        self, models, memory_required=0, force_patch_weights=False, minimum_memory_required=None, force_full_load=False
    ):
        self.loaded += [(model, memory_required) for model in models]

    def processing_interrupted(self):
        if self.cancel_after is not None:
            self.cancel_after -= 1
            self.interrupted = self.interrupted or self.cancel_after < 0
        return self.interrupted

    def throw_exception_if_processing_interrupted(self):
        if self.processing_interrupted():
            self.interrupted, self.cancel_after = False, None
            raise InterruptProcessingException

    def interrupt_current_processing(self, value=True):
        self.interrupted = value

    # modules

    def install(self, monkeypatch) -> None:
        """Puts the stand-ins where `import` finds them."""
        host = self

        class ProgressBar:
            def __init__(self, total, node_id=None):
                self.total = total

            def update_absolute(self, value, total=None, preview=None):
                host.throw_exception_if_processing_interrupted()  # the real one's hook does
                host.progress.append((value, total))
                if preview is not None:
                    host.previews.append(preview)

        modules = {name: types.ModuleType(name) for name in (*MODULES, "folder_paths")}
        management = modules["comfy.model_management"]
        management.get_torch_device = lambda: host.device
        management.unet_offload_device = lambda: torch.device("cpu")
        management.intermediate_device = lambda: torch.device("cpu")
        management.should_use_fp16 = lambda device=None, model_params=0: host.fp16
        management.load_models_gpu = host.load_models_gpu
        management.processing_interrupted = host.processing_interrupted
        management.throw_exception_if_processing_interrupted = host.throw_exception_if_processing_interrupted
        management.interrupt_current_processing = host.interrupt_current_processing
        management.InterruptProcessingException = InterruptProcessingException
        modules["comfy.model_patcher"].ModelPatcher = ModelPatcher
        modules["comfy.utils"].ProgressBar = ProgressBar
        modules["comfy_api.input_impl"].VideoFromFile = VideoFromFile
        modules["comfy_api.input_impl"].VideoFromComponents = VideoFromComponents
        for name in MODULES:
            if "." in name:
                parent, child = name.rsplit(".", 1)
                setattr(modules[parent], child, modules[name])
        folders = modules["folder_paths"]
        folders.models_dir = str(self.root / "models")
        folders.add_model_folder_path = host.add_model_folder_path
        folders.get_folder_paths = lambda folder_name: host.folders[folder_name]
        folders.get_save_image_path = host.get_save_image_path
        folders.get_output_directory = lambda: str(host.root / "output")
        folders.get_input_directory = lambda: str(host.root / "input")
        folders.get_temp_directory = lambda: str(host.root / "temp")
        for name, module in modules.items():
            monkeypatch.setitem(sys.modules, name, module)

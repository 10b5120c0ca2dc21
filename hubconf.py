"""Entries for PyTorch Hub, from a checkout: `torch.hub.load("path/to/checkout", "mobilenetv3", source="local")`."""

# T frames, C channels, H, W

import importlib
import importlib.util
import sys
from pathlib import Path

dependencies = ["torch", "torchvision", "numpy", "safetensors", "tqdm", "requests", "truststore", "filelock"]

_ROOT = Path(__file__).resolve().parent


def _package() -> str:
    """This checkout as a package: under its own name where that is the one installed, else under another."""
    spec = importlib.util.find_spec("rvm_studio")
    if spec and spec.submodule_search_locations and _ROOT.samefile(next(iter(spec.submodule_search_locations))):
        return "rvm_studio"
    name = "rvm_studio_from_hub"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(
            name, _ROOT / "__init__.py", submodule_search_locations=[str(_ROOT)]
        )
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return name


def _load(variant: str, pretrained: bool, weights: str | None, refiner: str):
    core = f"{_package()}.core"
    if pretrained or weights:
        files = importlib.import_module(f"{core}.weights")
        return files.load_network(files.find(variant, weights), variant, refiner)
    refiner = "deep_guided_filter" if refiner == "auto" else refiner
    return importlib.import_module(f"{core}.network").MattingNetwork(variant, refiner).eval()


def mobilenetv3(pretrained: bool = True, weights: str | None = None, refiner: str = "auto"):
    """The MattingNetwork with the small encoder, in eval mode: network(src, rec, downsample_ratio) -> fgr, pha, rec.

    src [B, T, 3, H, W] or [B, 3, H, W] RGB 0..1; rec None at first, then the one returned. weights: a file, instead of
    the published one (downloaded once, checked by its SHA-256). refiner: "auto" (the one the weights are for),
    "deep_guided_filter" or "fast_guided_filter". Raises StudioError for weights that cannot be had.
    """
    return _load("mobilenetv3", pretrained, weights, refiner)


def resnet50(pretrained: bool = True, weights: str | None = None, refiner: str = "auto"):
    """As `mobilenetv3`, with the large encoder: a little better, slower."""
    return _load("resnet50", pretrained, weights, refiner)


def converter():
    """A function convert(network, source, composite=None, alpha=None, foreground=None, downsample_ratio="auto",
    device_name="auto", ...) that mattes a clip into the files named, with the fastest engine for the device; it returns
    a ClipReport.

    What else it takes are the fields of ClipOptions (core/clip_options.py). A composite in a format with transparency
    is the cut-out person, in others the person over `background`. Raises StudioError."""
    core = f"{_package()}.core"
    clips, formats, engines, device, sessions = (
        importlib.import_module(f"{core}.{name}")
        for name in ("video_matting", "output_formats", "engines", "device", "matting_session")
    )

    def convert(
        network, source, composite=None, alpha=None, foreground=None, downsample_ratio="auto", device_name="auto", **how
    ):
        outputs = []
        if composite:
            sees_through = formats.format_for(Path(composite)).carries_alpha and "background" not in how
            outputs.append(clips.Output(Path(composite), "matte" if sees_through else "composite"))
        if alpha:
            outputs.append(clips.Output(Path(alpha), "alpha"))
        if foreground:
            outputs.append(clips.Output(Path(foreground), "foreground"))
        engine = engines.build(network, engines.choose(device.choose_device(device_name)))
        session = sessions.MattingSession(engine, downsample_ratio=downsample_ratio)
        return clips.matte_clip(source, outputs, session, clips.ClipOptions(**how))

    return convert

"""Entry points for PyTorch Hub, with the official names and keywords:

network = torch.hub.load("path/to/checkout", "mobilenetv3", source="local")     # or "resnet50"
convert_video = torch.hub.load("path/to/checkout", "converter", source="local")
convert_video(network, "clip.mp4", output_composition="cut.mov", output_alpha="alpha.mp4")
"""

# T frames, C channels, H, W

import importlib
import importlib.util
import sys
from pathlib import Path

dependencies = ["torch", "torchvision", "numpy", "safetensors", "tqdm", "requests", "truststore", "filelock"]

GREEN = "#78ff9b"  # background of compositions without transparency, as in the official function
SEQUENCE_RATE = 30  # frame rate of image sequences, as in the official function

_ROOT = Path(__file__).resolve().parent


def _package() -> str:
    """Name of this checkout as a package: its own if it is the one installed, otherwise another."""
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


def _core():
    return importlib.import_module(f"{_package()}.core")


def _load(variant: str, pretrained: bool, progress: bool, weights: str | None, refiner: str):
    core = _core()
    if pretrained or weights:
        return core.load_network(core.find_weights(variant, weights, progress=progress), variant, refiner)
    refiner = core.DEEP_REFINER if refiner == "auto" else refiner
    return core.MattingNetwork(variant, refiner).eval()


def mobilenetv3(pretrained: bool = True, progress: bool = True, weights: str | None = None, refiner: str = "auto"):
    """The MattingNetwork with the small encoder, in eval mode: network(src, rec, downsample_ratio) -> fgr, pha, rec.

    src: [B, T, 3, H, W] or [B, 3, H, W], RGB 0..1. rec: None at first, then the one that was returned. weights: a file,
    instead of the published one (downloaded once and verified by SHA-256; progress: show the download). refiner: "auto"
    (the one that the weights were trained for), "deep_guided_filter" or "fast_guided_filter". Raises StudioError if the
    weights cannot be loaded.
    """
    return _load("mobilenetv3", pretrained, progress, weights, refiner)


def resnet50(pretrained: bool = True, progress: bool = True, weights: str | None = None, refiner: str = "auto"):
    """Like `mobilenetv3`, but with the large encoder: slightly better and slower."""
    return _load("resnet50", pretrained, progress, weights, refiner)


def converter():
    """The function `convert_video` below, which mattes a whole clip. Raises StudioError if a package is missing."""
    core = _core()
    try:
        core.open_reader  # noqa: B018 - imports the packages that read files
    except ModuleNotFoundError as error:
        package = {"PIL": "pillow"}.get(str(error.name), error.name)
        raise core.StudioError(f"The converter needs the package {package}: pip install {package}") from error

    def convert_video(
        model,
        input_source,
        input_resize=None,
        downsample_ratio=None,
        output_type="video",
        output_composition=None,
        output_alpha=None,
        output_foreground=None,
        output_video_mbps=None,
        seq_chunk=1,
        num_workers=0,
        progress=True,
        device=None,
        dtype=None,
        **options,
    ):
        """Mattes a clip into the output files, which are overwritten; returns a ClipReport.

        model: a network from this module's `mobilenetv3` or `resnet50`. input_source: a video, a picture, a folder of
        pictures or a pattern for their names. downsample_ratio: 0..1, or None (or "auto") for a longest side of 512.
        output_type: "video", where each output is a file whose suffix determines the format; or "png_sequence", where
        each output is a folder for 0000.png and so on.
        output_composition: the cut-out person in formats with transparency (.mov, .webm, .mkv, PNG), otherwise the
        person over green. output_alpha: the alpha. output_foreground: the person's colours.
        seq_chunk: frames at once, which affects only the speed; 1 chooses by device. num_workers: 0 or more; has no
        effect, because frames are always decoded ahead. progress: show a progress bar.
        device: None for the model's own, "auto", or a name. dtype: a torch.dtype, or None for "auto" precision (for a
        model in half precision, its own).
        input_resize and output_video_mbps are not supported and must be None. All other keywords are those of
        rvm_studio.matte: background, quality, start, duration, engine ...

        Raises StudioError for files that cannot be read or written and for arguments that are invalid.
        """
        if not isinstance(model, core.MattingNetwork):
            raise core.StudioError(
                f"The model is a {type(model).__module__}.{type(model).__qualname__}. Expected a network from "
                '"mobilenetv3" or "resnet50" of this hub (TorchScript is not supported).'
            )
        if input_resize is not None:
            raise core.StudioError(
                f"input_resize is {input_resize}, but the outputs always have the input's size. Leave it out. To make "
                "the network faster, use downsample_ratio; for smaller files, scale the clip first."
            )
        if output_video_mbps is not None:
            raise core.StudioError(
                f"output_video_mbps is {output_video_mbps}, but files have constant quality, not a constant bit rate. "
                "Leave it out or give quality: for .mp4 0 to 51 (default 18; lower is better and larger)."
            )
        if output_type not in ("video", "png_sequence"):
            raise core.StudioError(f'output_type is {output_type!r}. Expected "video" or "png_sequence".')
        if not isinstance(num_workers, int) or num_workers < 0:
            raise core.StudioError(f"num_workers is {num_workers!r}. Expected a whole number of at least 0.")
        composition, alpha, foreground = (
            Path(path) / "%04d.png" if path is not None and output_type == "png_sequence" else path
            for path in (output_composition, output_alpha, output_foreground)
        )
        if composition is not None and not core.format_for(Path(composition)).carries_alpha:
            options.setdefault("background", GREEN)
        options.setdefault("overwrite", True)
        options.setdefault("frame_rate", SEQUENCE_RATE)
        engine = options.pop("engine", "auto")
        if isinstance(engine, str):
            weight = next(model.parameters())
            place = core.choose_device(weight.device if device is None else device)
            precision = "auto" if str(weight.dtype) == "torch.float32" else weight.dtype
            choice = core.choose_engine(place, engine, precision if dtype is None else dtype)
            engine = core.build_engine(model, choice)
        with core.make_progress("auto" if progress else "none", Path(input_source).name) as show:
            return core.matte(
                input_source,
                composition,
                alpha=alpha,
                foreground=foreground,
                downsample_ratio="auto" if downsample_ratio is None else downsample_ratio,
                chunk="auto" if seq_chunk == 1 else seq_chunk,
                engine=engine,
                progress=show,
                **options,
            )

    return convert_video

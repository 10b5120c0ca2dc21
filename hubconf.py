"""Entries for PyTorch Hub, under the official names and with the official keywords:

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

GREEN = "#78ff9b"  # of compositions without transparency, as in the official function
SEQUENCE_RATE = 30  # of image sequences, likewise

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

    src [B, T, 3, H, W] or [B, 3, H, W] RGB 0..1; rec None at first, then the one returned. weights: a file, instead of
    the published one (downloaded once, checked by its SHA-256; progress: show that). refiner: "auto" (the one the
    weights are for), "deep_guided_filter" or "fast_guided_filter". Raises StudioError for weights that cannot be had.
    """
    return _load("mobilenetv3", pretrained, progress, weights, refiner)


def resnet50(pretrained: bool = True, progress: bool = True, weights: str | None = None, refiner: str = "auto"):
    """As `mobilenetv3`, with the large encoder: slightly better, slower."""
    return _load("resnet50", pretrained, progress, weights, refiner)


def converter():
    """The function `convert_video` below, which mattes a whole clip. Raises StudioError where a package is missing."""
    core = _core()
    try:
        core.open_reader  # noqa: B018 - loads what reads files
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
        """Mattes a clip into the files named, replacing what is there; returns a ClipReport.

        model: a network of this module's `mobilenetv3` or `resnet50`. input_source: a video, a picture, a folder of
        pictures or a pattern of their names. downsample_ratio: 0..1, or None (or "auto") for a longest side of 512.
        output_type: "video", where each output is a file whose suffix chooses the format; or "png_sequence", where
        each is a folder for 0000.png and so on.
        output_composition: in formats with transparency (.mov, .webm, .mkv, PNG) the cut-out person; else the person
        over green. output_alpha, output_foreground: the alpha; the person's colours.
        seq_chunk: frames at once, which changes the speed alone; 1 leaves the choice to the device. num_workers:
        0 or more, without effect: the next frames are always decoded meanwhile. progress: show it.
        device: None for the model's own, "auto", or a name. dtype: None for "auto" precision (of a model in half
        precision: its own), else a torch.dtype.
        input_resize and output_video_mbps are not supported, and must be None. All other keywords are those of
        rvm_studio.matte: background, quality, start, duration, engine ...

        Raises StudioError for what cannot be read, written or combined.
        """
        if not isinstance(model, core.MattingNetwork):
            raise core.StudioError(
                f"The model is a {type(model).__module__}.{type(model).__qualname__}. Expected a network from this "
                'module\'s "mobilenetv3" or "resnet50" (TorchScript is not supported).'
            )
        if input_resize is not None:
            raise core.StudioError(
                f"input_resize is {input_resize}, but the outputs always have the input's size. Leave it out; to make "
                "the network faster use downsample_ratio, for smaller files scale the clip before."
            )
        if output_video_mbps is not None:
            raise core.StudioError(
                f"output_video_mbps is {output_video_mbps}, but files are written in constant quality, not at a bit "
                "rate. Leave it out, or give quality: for .mp4 0 to 51 (18; lower is better and larger)."
            )
        if output_type not in ("video", "png_sequence"):
            raise core.StudioError(f'output_type is {output_type!r}. Expected "video" or "png_sequence".')
        if not isinstance(num_workers, int) or num_workers < 0:
            raise core.StudioError(f"num_workers is {num_workers!r}. Expected a whole number from 0 on.")
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

"""Writes the network as a file for other programs: ONNX, OpenVINO IR, TorchScript, torch.export.

A call processes one frame of one stream. Inputs: src [1, 3, H, W] 0..1, r1..r4 (the state), and downsample_ratio [1]
unless it is a constant. Outputs: fgr, pha and the new state r1o..r4o. There are two forms:

    dynamic   any size. The first state is zeros of shape [1, 1, 1, 1] each, which are expanded as needed.
    static    one size, a constant ratio, states of fixed shapes (initially zeros), for TensorRT and similar programs.

Before the file gets its final name, three frames are run through it, with the state fed back, and compared with the
network.
"""

# pyright: reportMissingImports=false
# (the packages that write the files are optional)

# C channels, H, W full size, h, w small size

import contextlib
import importlib
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .engines.small_network.small_network import first_states, folded
from .errors import StudioError
from .machine.install_advice import command_for_extra
from .network import MattingNetwork, small_size
from .stream.downsample_ratio import choose_downsample_ratio

SUFFIXES = {".onnx": "ONNX", ".xml": "OpenVINO IR", ".pt": "TorchScript", ".pt2": "torch.export"}
STATES = ("r1", "r2", "r3", "r4")
OUTPUTS = ("fgr", "pha", "r1o", "r2o", "r3o", "r4o")
OPSET = 17
TOLERANCE = 2e-3  # for fgr, pha and the states, over three frames
CHECKED_SIZES = ((135, 101), (96, 160))  # (height, width), for dynamic forms; includes odd sizes
CHECKED_RATIO = 0.5  # if the ratio is an input
_PACKAGES = {".onnx": ("onnx", "onnxruntime"), ".xml": ("onnx", "openvino")}

Runner = Callable[[list[Tensor]], list[Tensor]]


def export(
    network: MattingNetwork,
    path: str | Path,
    *,
    size: tuple[int, int] | None = None,
    downsample_ratio: float | None = None,
    overwrite: bool = False,
) -> float:
    """Writes the network to a file and checks the file.

    Args:
        network: The network.
        path: The file; its suffix selects the format (see SUFFIXES).
        size: (height, width) for the static form; None: the dynamic form.
        downsample_ratio: A constant ratio; 1 omits the refiner. None: in the static form the ratio that matting would
            choose, in the dynamic form an input below 1.
        overwrite: Whether to replace an existing file.

    Returns:
        The largest difference between the file and the network that was found.

    Raises:
        StudioError: The options do not fit the format, a package is missing, the file exists, or its results differ
            from those of the network.
    """
    path = Path(path)
    suffix = _checked_suffix(path, size, downsample_ratio)
    if path.exists() and not overwrite:
        raise StudioError(f"{path} exists already.", use=("overwrite",), or_else="choose another name")
    if size is not None:
        ratio = downsample_ratio or choose_downsample_ratio("auto", *size)
        if min(small_size(*size, ratio)) < 1:
            raise StudioError(
                f"A frame of {size[1]}x{size[0]} at the ratio {ratio:g} has no pixels. Use a higher ratio."
            )
        downsample_ratio = ratio
    module = ExportedNetwork(network, downsample_ratio, is_static=size is not None, onnx=suffix in _PACKAGES)
    with _temporary_folder(path) as folder, _quiet():
        _WRITERS[suffix](module, folder / path.name, module.example(*(size or CHECKED_SIZES[0])))
        run = _RUNNERS[suffix](folder / path.name)
        difference = max(_difference(network, module, run, *shape) for shape in ([size] if size else CHECKED_SIZES))
        if not difference < TOLERANCE:
            raise StudioError(
                f"The {SUFFIXES[suffix]} file differs from the network by up to {difference:.2g} (expected: at most "
                f"{TOLERANCE:g}), so it was removed. Another version of the packages that write and run it may help."
            )
        for file in sorted(
            folder.iterdir(), key=lambda file: file.name == path.name
        ):  # the file itself last, after those it refers to
            os.replace(file, path.with_name(file.name))
    return difference


def _checked_suffix(path: Path, size: tuple[int, int] | None, ratio: float | None) -> str:
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        known = ", ".join(f"{suffix} ({name})" for suffix, name in SUFFIXES.items())
        raise StudioError(f"The suffix of {path} is not an export format: use one of {known}.")
    if suffix == ".pt2" and size is None:
        raise StudioError(
            "torch.export supports one size only.", use=("size 1920x1080",), or_else="write .pt, which takes any size"
        )
    if size is not None and min(size) < 1:
        raise StudioError(f"The size is {size[1]}x{size[0]}; expected a width and height of at least 1.")
    if ratio is not None and not 0 < ratio <= 1:
        raise StudioError(f"The downsample ratio is {ratio:g}; expected a number above 0 and at most 1.")
    for package in _PACKAGES.get(suffix, ()):
        try:
            importlib.import_module(package)
        except ImportError as error:
            raise StudioError(
                f"{SUFFIXES[suffix]} needs the package {package}, which cannot be imported ({error}). "
                f"Install it: {command_for_extra('export')}"
            ) from error
    return suffix


class ExportedNetwork(nn.Module):
    """The module that is exported: one frame of one stream per call.

    src [1, 3, H, W] 0..1, r1..r4 and, if it is an input, downsample_ratio [1] -> fgr [1, 3, H, W], pha [1, 1, H, W],
    both 0..1, and the new r1..r4.

    Args:
        network: The network, which is copied.
        ratio: A constant downsample ratio, 0 < ratio <= 1; None: an input.
        is_static: Whether size, ratio and the shapes of the states are fixed.
        onnx: Whether the module is exported through ONNX.

    Example:
        >>> from rvm_studio import core
        >>> module = core.ExportedNetwork(core.MattingNetwork().eval(), 0.5, is_static=True, onnx=False)
        >>> fgr, pha, *rec = module(*module.example(48, 64))
        >>> fgr.shape, pha.shape
        (torch.Size([1, 3, 48, 64]), torch.Size([1, 1, 48, 64]))
    """

    def __init__(self, network: MattingNetwork, ratio: float | None, is_static: bool, onnx: bool):
        super().__init__()
        self.network = folded(network)
        self.ratio, self.is_static = ratio, is_static
        self.inputs = ("src", *STATES) if ratio is not None else ("src", *STATES, "downsample_ratio")
        self._reduce = ResizeByRatio.apply if onnx else _reduce_by_tensor

    def forward(
        self, src: Tensor, r1: Tensor, r2: Tensor, r3: Tensor, r4: Tensor, downsample_ratio: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        network, rec = self.network, (r1, r2, r3, r4)
        if self.ratio == 1:
            small = src
        elif self.is_static:
            assert self.ratio is not None
            small = network.reduce(src, self.ratio)
        else:
            ratio = torch.tensor([self.ratio]) if downsample_ratio is None else downsample_ratio
            small = self._reduce(src, ratio)
        f1, f2, f3, f4 = network.backbone(small)
        f4 = network.aspp(f4)
        if not self.is_static:
            channels = [r.shape[1] for r in first_states(network, 1, 1)]
            r1, r2, r3, r4 = (
                r.expand(1, c, f.shape[2], f.shape[3]) for r, c, f in zip(rec, channels, (f1, f2, f3, f4), strict=True)
            )
        hid, rec = network.decoder(small, (f1, f2, f3, f4), (r1, r2, r3, r4), 1)
        fgr, pha = network.project_mat(hid).split([3, 1], 1)
        if self.ratio != 1:
            fgr, pha = network.refiner(src, small, fgr, pha, hid)
        return (fgr + src).clamp(0, 1), pha.clamp(0, 1), *rec

    def example(self, height: int, width: int) -> list[Tensor]:
        """Inputs for a stream's first frame: noise of this size, and the first state."""
        src = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(0))
        if self.is_static:
            assert self.ratio is not None
            rec = first_states(self.network, *small_size(height, width, self.ratio))
        else:
            rec = [torch.zeros(1, 1, 1, 1)] * 4
        return [src, *rec, *([torch.tensor([CHECKED_RATIO])] if self.ratio is None else [])]


class ResizeByRatio(torch.autograd.Function):
    """MattingNetwork.reduce with a tensor [1] as ratio; in ONNX a Resize, whose step is also exactly 1/ratio."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, ratio: Tensor) -> Tensor:
        return MattingNetwork.reduce(x, float(ratio))

    @staticmethod
    def symbolic(g: Any, x: Any, ratio: Any) -> Any:
        ones = g.op("Constant", value_t=torch.ones(2))
        scales = g.op("Concat", ones, ratio, ratio, axis_i=0)
        nothing = g.op("Constant", value_t=torch.tensor([], dtype=torch.float32))
        how = {"coordinate_transformation_mode_s": "half_pixel", "mode_s": "linear", "nearest_mode_s": "floor"}
        small = g.op("Resize", x, nothing, scales, **how)
        return small.setType(x.type().with_sizes([1, 3, None, None]))


def _reduce(x: Tensor, ratio: Tensor) -> Tensor:
    return F.interpolate(
        x,
        scale_factor=float(ratio.item()),
        mode="bilinear",
        align_corners=False,
        recompute_scale_factor=False,
    )


def _reduce_by_tensor(x: Tensor, ratio: Tensor) -> Tensor:
    """MattingNetwork.reduce with a tensor [1] as ratio, scripted so that tracing does not make it a constant."""
    return torch.jit.script(_reduce)(x, ratio)


def _write_onnx(module: ExportedNetwork, path: Path, example: list[Tensor]) -> None:
    import onnx

    axes = {}
    if not module.is_static:
        axes = {name: {2: f"{name}_height", 3: f"{name}_width"} for name in (*STATES, *OUTPUTS)}
        axes |= {name: {1: f"{name}_channels"} | axes[name] for name in STATES}
        axes |= {name: {2: "height", 3: "width"} for name in ("src", "fgr", "pha")}
    torch.onnx.export(
        module,
        tuple(example),
        str(path),
        dynamo=False,
        opset_version=OPSET,
        input_names=list(module.inputs),
        output_names=list(OUTPUTS),
        dynamic_axes=axes,
    )
    model = onnx.load(path)
    facts = {"variant": module.network.variant, "refiner": module.network.refiner_name}
    facts["downsample_ratio"] = "input, below 1" if module.ratio is None else f"{module.ratio:g}"
    onnx.helper.set_model_props(model, facts)
    onnx.checker.check_model(model)
    onnx.save(model, path)


def _write_openvino(module: ExportedNetwork, path: Path, example: list[Tensor]) -> None:
    import openvino

    by_way_of = path.with_suffix(".onnx")
    _write_onnx(module, by_way_of, example)
    model = openvino.Core().read_model(by_way_of)
    openvino.save_model(model, path, compress_to_fp16=False)
    by_way_of.unlink()


def _write_torchscript(module: ExportedNetwork, path: Path, example: list[Tensor]) -> None:
    with torch.no_grad():
        traced = torch.jit.trace(module, tuple(example), check_trace=False)
    torch.jit.save(traced, str(path))


def _write_torch_export(module: ExportedNetwork, path: Path, example: list[Tensor]) -> None:
    with torch.no_grad():
        torch.export.save(torch.export.export(module, tuple(example)), path)


def _onnx_runner(path: Path) -> Runner:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [given.name for given in session.get_inputs()]

    def run(inputs: list[Tensor]) -> list[Tensor]:
        given = {name: x.numpy() for name, x in zip(names, inputs, strict=True)}
        return [torch.from_numpy(y) for y in session.run(list(OUTPUTS), given)]

    return run


def _openvino_runner(path: Path) -> Runner:
    import openvino

    compiled = openvino.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})

    def run(inputs: list[Tensor]) -> list[Tensor]:
        results = compiled([x.numpy() for x in inputs])
        return [torch.from_numpy(results[name].copy()) for name in OUTPUTS]

    return run


def _torch_runner(load: Callable[[Path], Any]) -> Callable[[Path], Runner]:
    def runner(path: Path) -> Runner:
        program = load(path)

        def run(inputs: list[Tensor]) -> list[Tensor]:
            with torch.no_grad():
                return list(program(*inputs))

        return run

    return runner


_WRITERS = {
    ".onnx": _write_onnx,
    ".xml": _write_openvino,
    ".pt": _write_torchscript,
    ".pt2": _write_torch_export,
}
_RUNNERS: dict[str, Callable[[Path], Runner]] = {
    ".onnx": _onnx_runner,
    ".xml": _openvino_runner,
    ".pt": _torch_runner(lambda path: torch.jit.load(str(path))),
    ".pt2": _torch_runner(lambda path: torch.export.load(path).module()),
}


def _difference(network: MattingNetwork, module: ExportedNetwork, run: Runner, height: int, width: int) -> float:
    """The largest difference between the file and the network over three frames, each with its own state."""
    network = folded(network)
    src, *given = module.example(height, width)
    rec, given_ratio = None, given[4:]
    ratio = CHECKED_RATIO if module.ratio is None else module.ratio
    states, largest = given[:4], 0.0
    for shift in range(3):
        frame = src.roll(5 * shift, 3).contiguous()
        with torch.inference_mode():
            expected = network(frame, rec, ratio)
        rec = expected.rec
        results = run([frame, *states, *given_ratio])
        states = results[2:]
        truth = (expected.fgr, expected.pha, *rec)
        for result, true in zip(results, truth, strict=True):
            if result.shape != true.shape:
                return float("inf")
            largest = max(largest, (result - true).abs().max().item())
    return largest


@contextlib.contextmanager
def _temporary_folder(path: Path) -> Iterator[Path]:
    """A temporary folder beside `path`, so that a file in it can be renamed to `path`."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f"{path.name}.", suffix=".partial", dir=path.parent))
    except OSError as error:
        raise StudioError(f"{path} cannot be written ({error.strerror}): choose another folder.") from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """A context that hides the exporters' warnings about shapes that become constants, as intended; the file is checked
    afterwards."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield

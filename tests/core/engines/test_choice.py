"""Which engine is chosen, for whom, with which words."""

import subprocess
import sys

import pytest
import torch
from rvm_studio.core import MattingNetwork
from rvm_studio.core.engines import EagerEngine, build, choice, choose
from rvm_studio.core.engines.choice import openvino_problem
from rvm_studio.core.errors import StudioError
from rvm_studio.core.machine.install_advice import pip_command

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


class FakeParts:
    """openvino_parts, on a processor that has bf16 or not."""

    def __init__(self, native):
        self.bf16_is_native = lambda: native


@pytest.fixture
def with_openvino(monkeypatch):
    def make(native):
        monkeypatch.setattr(choice, "openvino_problem", lambda: None)
        monkeypatch.setattr(choice, "_openvino_parts", lambda: FakeParts(native))

    return make


@pytest.fixture
def without_openvino(monkeypatch):
    monkeypatch.setattr(choice, "openvino_problem", lambda: "openvino is not installed")


@pytest.mark.parametrize(("native", "precision"), [(True, "mixed"), (False, "fp32")])
def test_automatic_on_a_cpu(with_openvino, native, precision):
    with_openvino(native)
    chosen = choose(CPU)
    assert (chosen.engine, chosen.precision) == ("openvino", precision)
    assert str(chosen).startswith(f"openvino on cpu, {precision}, full size by ")
    assert choose(CPU, precision="fp32").precision == "fp32"
    assert choose(CPU, "eager").why == "as requested"


def test_automatic_without_openvino(without_openvino):
    chosen = choose(CPU)
    assert (chosen.engine, chosen.precision) == ("folded", "fp32")
    assert "openvino is not installed; to install it, which is faster: " in str(chosen)
    with pytest.raises(StudioError, match="openvino cannot be used: openvino is not installed") as caught:
        choose(CPU, "openvino")
    for text in (str(chosen), str(caught.value)):
        assert pip_command("openvino", "numba") in text


def test_a_card_runs_eager_and_graphs_only_where_asked_for(monkeypatch):
    monkeypatch.setattr(choice, "choose_dtype", lambda precision, device: torch.float16)
    chosen = choose(CUDA)
    assert (chosen.engine, chosen.precision) == ("eager", "fp16")
    assert "graph and compile may be faster but are experimental" in str(chosen)
    asked = choose(CUDA, "graph")
    assert (asked.engine, asked.precision) == ("graph", "fp16")
    assert str(asked).endswith("(as requested, experimental)")
    for engine in ("folded", "openvino"):
        with pytest.raises(StudioError, match=f"engine {engine} runs on the CPU, not on cuda"):
            choose(CUDA, engine)


def test_what_cannot_be(with_openvino):
    with_openvino(False)
    with pytest.raises(StudioError, match="Unknown engine 'onnx'"):
        choose(CPU, "onnx")
    with pytest.raises(StudioError, match="Unknown precision 'int8'"):
        choose(CPU, precision="int8")
    with pytest.raises(StudioError, match="mixed needs a CPU with native bf16"):
        choose(CPU, "openvino", "mixed")
    with pytest.raises(StudioError, match="mixed needs the engine openvino; the engine here is folded"):
        choose(CPU, "folded", "mixed")
    with pytest.raises(StudioError, match="fp16 is supported on GPUs only"):
        choose(CPU, "openvino", "fp16")


def test_what_is_built_is_what_was_chosen(tmp_path, monkeypatch):
    monkeypatch.setenv("RVM_MODELS_DIR", str(tmp_path))
    network = MattingNetwork().eval()
    assert isinstance(build(network, choose(CPU, "eager")), EagerEngine)
    engine = build(network, choose(CPU, "folded"))
    assert (engine.name, engine.variant, engine.dtype) == ("folded fp32", "mobilenetv3", torch.float32)
    if not openvino_problem():
        assert build(network, choose(CPU, "openvino", "fp32")).name == "openvino fp32"


def test_openvino_that_is_missing_or_broken(monkeypatch):
    def problem(error):
        def fail():
            raise error

        monkeypatch.setattr(choice, "_openvino_parts", fail)
        openvino_problem.cache_clear()
        return openvino_problem()

    try:
        assert problem(ModuleNotFoundError("openvino")) == "openvino is not installed"
        assert problem(OSError("bad library")) == "openvino does not work here (OSError: bad library)"
    finally:
        openvino_problem.cache_clear()


@pytest.mark.slow
def test_importing_the_engines_brings_neither_openvino_nor_numba():
    code = "import sys, rvm_studio.core.engines; print('openvino' in sys.modules, 'numba' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False False\n"

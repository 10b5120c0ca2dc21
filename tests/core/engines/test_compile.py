"""The engine whose network Inductor compiles: its logic with a stand-in for Inductor, and once with Inductor itself."""

# T frames, H, W

import functools
import gc
import shutil
import sys
import weakref

import pytest
import torch
from rvm_studio.core.engines import EagerEngine, build, choice, choose, cuda_graph
from rvm_studio.core.engines.cuda_graph import GRAPHS_KEPT, GraphEngine
from rvm_studio.core.engines.full_size import full_size, guided_coefficients
from rvm_studio.core.engines.small_network.inductor import Compiled, compile_problem
from rvm_studio.core.errors import StudioError

CPU = torch.device("cpu")
can_compile = pytest.mark.skipif(compile_problem("cpu") is not None, reason=str(compile_problem("cpu")))


class Traced:
    """Takes Inductor's place: what was traced is run operation by operation."""

    def __init__(self):
        self.programs: list[weakref.ref] = []

    def __call__(self, program, given):
        self.programs.append(weakref.ref(program))
        return program.forward

    @property
    def alive(self) -> int:
        gc.collect()
        return sum(program() is not None for program in self.programs)


@pytest.fixture
def compiler():
    return Traced()


@pytest.fixture
def engine_of(compiler):
    """`engine_of(network, record)`: the engine on the CPU, but for Inductor."""

    def make(network, record=None, kernels=full_size) -> GraphEngine:
        compiles = functools.partial(Compiled, compiler=compiler)
        return GraphEngine(network, CPU, torch.float32, record=record, kernels=kernels, compile=compiles)

    return make


@pytest.fixture
def networks(random_networks):
    return lambda refiner="fast_guided_filter": random_networks(refiner, 2)


@pytest.fixture
def without_numba(monkeypatch):
    """As on a card: the filter's coefficients are compiled, too."""
    for module in (cuda_graph, full_size, guided_coefficients):
        monkeypatch.setattr(module, "compiled_kernels", lambda: None)


def pictures(count, height=48, width=64, seed=0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, height, width, 3), dtype=torch.uint8, generator=generator).permute(0, 3, 1, 2)


def assert_as_eager(engine, network, ratio, foreground, chunks, height, width):
    eager = EagerEngine(network, CPU, torch.float32)
    rec = expected_rec = None
    for frames in pictures(sum(chunks), height, width).split(chunks):
        output = engine.run(frames, rec, ratio, foreground=foreground)
        expected = eager.run(frames, expected_rec, ratio, foreground=foreground)
        rec, expected_rec = output.rec, expected.rec
        assert (output.pha - expected.pha).abs().max() < 2e-3
        assert (output.fgr is None) is not foreground
        if foreground:
            assert (output.fgr - expected.fgr).abs().max() < 2e-3
        for r, truth in zip(rec, expected_rec, strict=True):
            assert (r - truth).abs().max() < 1e-4
    assert expected.pha.std() > 0.01


@pytest.mark.slow
@pytest.mark.parametrize("foreground", [True, False])
@pytest.mark.parametrize("refiner", ["deep_guided_filter", "fast_guided_filter"])
@pytest.mark.parametrize(("height", "width", "ratio"), [(61, 93, 0.375), (48, 64, 1)])
def test_as_eager(networks, engine_of, compiler, without_numba, height, width, ratio, refiner, foreground):
    network = networks(refiner)
    assert_as_eager(engine_of(network), network, ratio, foreground, [2, 2, 1], height, width)
    assert len(compiler.programs) == 2, "network and coefficients, for two frames at once; the rest as it is"


def test_numba_keeps_its_part(networks, engine_of, compiler):
    if guided_coefficients.compiled_kernels() is None:
        pytest.skip("numba is not installed")
    assert_as_eager(engine_of(networks()), networks(), 0.5, False, [1, 1], 48, 64)
    assert len(compiler.programs) == 1


class Recorded:
    made = 0

    def __init__(self, compute, given):
        Recorded.made += 1
        self.compute = compute
        compute(*given)

    def __call__(self, given):
        return self.compute(*given)


@pytest.mark.slow
@pytest.mark.parametrize("record", [None, Recorded])
def test_any_number_of_sizes_the_last_few_kept(networks, engine_of, compiler, record, monkeypatch):
    """What is not kept is gone."""
    monkeypatch.setattr(Recorded, "made", 0)
    monkeypatch.setattr(cuda_graph, "compiled_kernels", lambda: cuda_graph)  # one program a size
    engine, count = engine_of(networks(), record), GRAPHS_KEPT + 2
    for number in range(count):
        frames, rec = pictures(1, 16, 16 + number), None
        for _ in range(2):
            rec = engine.run(frames, rec, 1.0, foreground=False).rec
    assert len(compiler.programs) == count
    assert Recorded.made == (count if record else 0)
    assert len(engine._graphs) == GRAPHS_KEPT
    assert compiler.alive <= GRAPHS_KEPT
    engine.run(frames, None, 1.0, foreground=False)
    assert len(compiler.programs) == count, "the last one is still there"


def test_a_rest_is_compiled_where_it_comes_again(networks, engine_of, compiler, monkeypatch):
    monkeypatch.setattr(cuda_graph, "compiled_kernels", lambda: cuda_graph)
    engine = engine_of(networks())
    frames = pictures(3, 16, 16)
    compiled = []
    for count in (2, 2, 1, 2, 1, 1, 3):
        engine.run(frames[:count], None, 1.0, foreground=False)
        compiled.append(len(compiler.programs))
    assert compiled == [1, 1, 1, 1, 2, 2, 3]


GIVEN = torch.linspace(0, 1, 12).view(1, 3, 2, 2)


def double(x):
    return [x * 2, x + 1]


def test_what_cannot_be_compiled_runs_as_it_is(caplog):
    def fails(program, given):
        raise RuntimeError("no compiler here")

    compiled = Compiled(double, compiler=fails)
    for _ in range(2):
        assert torch.equal(compiled(GIVEN)[0], GIVEN * 2)
    assert caplog.text.count("compiling failed") == 1
    assert "no compiler here" in caplog.text


def test_what_compiles_wrongly_runs_as_it_is(caplog):
    def wrong(program, given):
        return lambda *given: tuple(1.1 * x for x in program.forward(*given))

    assert torch.equal(Compiled(double, compiler=wrong)(GIVEN)[1], GIVEN + 1)
    assert "the compiled results are off by 0.1" in caplog.text


def test_out_of_memory_is_the_callers():
    def fails(program, given):
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(torch.OutOfMemoryError):
        Compiled(double, compiler=fails)(GIVEN)


@can_compile
@pytest.mark.slow
def test_the_whole_engine_by_inductor(networks, caplog):
    caplog.set_level("INFO")
    chosen = choose(CPU, "compile")
    assert (chosen.engine, chosen.precision) == ("compile", "fp32")
    assert "experimental" not in str(chosen), "on the CPU it has been run"
    engine = build(networks(), chosen)
    assert engine.name == "compile fp32"
    assert_as_eager(engine, networks(), 0.5, True, [1, 1, 1], 48, 64)
    assert caplog.text.count("compiled for") == 1
    assert "slower" not in caplog.text


def test_what_is_missing(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr(choice, "compile_problem", compile_problem.__wrapped__)
    for platform, text in (("linux", "package g"), ("darwin", "xcode-select"), ("win32", "Visual Studio")):
        monkeypatch.setattr(sys, "platform", platform)
        with pytest.raises(StudioError, match=rf"compile cannot be used: .*C\+\+ compiler .*{text}"):
            choose(CPU, "compile")
    with pytest.raises(StudioError, match="it supports NVIDIA GPUs and CPUs, not mps"):
        choose(torch.device("mps"), "compile")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    for platform, package in (("linux", "triton"), ("win32", "triton-windows")):
        monkeypatch.setattr(sys, "platform", platform)
        with pytest.raises(StudioError, match=rf"Triton is not installed \(.* -m pip install {package}\)"):
            choose(torch.device("cuda"), "compile")


def test_on_cards_it_is_experimental(monkeypatch):
    monkeypatch.setattr(choice, "compile_problem", lambda kind: None)
    monkeypatch.setattr(choice, "choose_dtype", lambda wanted, device: torch.float16)
    assert str(choose(torch.device("cuda"), "compile")).endswith("(as requested, experimental)")

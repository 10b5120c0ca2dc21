"""`rvm-studio export`: what its options become; the files themselves are tested with core.export."""

import argparse
from pathlib import Path

import pytest
from rvm_studio.core import MattingNetwork, export
from rvm_studio.core.cli import export as cli_export
from rvm_studio.core.cli.export import parse_ratio, parse_size
from rvm_studio.core.errors import StudioError


@pytest.fixture
def asked(monkeypatch):
    """What the command gave to `export`, which writes nothing here; it found a difference of 2.34e-05."""
    calls = []

    def noted(network, path, **options):
        calls.append((network, path, options))
        return 2.34e-5

    monkeypatch.setattr(export, "export", noted)
    return calls


@pytest.fixture
def network(monkeypatch):
    network = MattingNetwork()
    monkeypatch.setattr(cli_export, "find_network", lambda arguments: network)
    return network


def test_the_defaults_fit_any_size(studio, asked, network):
    ran = studio("export", "rvm.onnx")
    assert (ran.code, ran.err) == (0, "")
    assert asked == [(network, Path("rvm.onnx"), {"size": None, "downsample_ratio": None, "overwrite": False})]
    assert ran.out == "rvm.onnx\n  differs from the network by at most 2e-05 over three frames\n"


def test_every_option(studio, asked, network):
    ran = studio("export", "a/rvm.pt", "--size", "1920x1080", "--downsample", "0.25", "--overwrite")
    assert ran.code == 0
    assert asked[0][1:] == (
        Path("a/rvm.pt"),
        {"size": (1080, 1920), "downsample_ratio": 0.25, "overwrite": True},
    )


def test_which_network_is_asked_of_the_same_options_as_elsewhere(studio, asked, monkeypatch):
    seen = []
    monkeypatch.setattr(cli_export, "find_network", lambda arguments: seen.append(arguments))
    studio(
        "export", "rvm.xml", "--variant", "resnet50", "--weights", "w.pth", "--refiner", "fast", "--mirror", "http://x"
    )
    (arguments,) = seen
    assert (arguments.variant, arguments.weights) == ("resnet50", "w.pth")
    assert (arguments.refiner, arguments.mirror) == ("fast", "http://x")


def test_a_fault_is_one_line(studio, network, monkeypatch):
    def fails(*args, **options):
        raise StudioError("The suffix is unknown.")

    monkeypatch.setattr(export, "export", fails)
    ran = studio("export", "rvm.txt")
    assert ran.code != 0
    assert (ran.out, ran.err) == ("", "rvm-studio: The suffix is unknown.\n")


@pytest.mark.parametrize(
    ("text", "size"), [("1920x1080", (1080, 1920)), ("640X360", (360, 640)), ("1x2", (2, 1)), ("007x5", (5, 7))]
)
def test_a_size_is_width_by_height(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text", ["", "1920", "1920x", "x1080", "19.2x10", "-4x4", "4x-4", "1920*1080", "4x4x4", "²x4", "4x²"]
)
def test_what_is_no_size(text):
    with pytest.raises(argparse.ArgumentTypeError, match=r"is not a size; expected WIDTHxHEIGHT"):
        parse_size(text)


@pytest.mark.parametrize(("text", "ratio"), [("1", 1.0), ("0.25", 0.25), ("1e-3", 0.001)])
def test_a_ratio(text, ratio):
    assert parse_ratio(text) == ratio


@pytest.mark.parametrize("text", ["0", "-0.5", "1.001", "nan", "inf", "a half", ""])
def test_what_is_no_ratio(text):
    with pytest.raises(argparse.ArgumentTypeError, match="is not a ratio; expected a number above 0 and at most 1"):
        parse_ratio(text)

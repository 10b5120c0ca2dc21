"""The source package and the wheel: what is in them, what they say of themselves, and that they work elsewhere."""

import email
import importlib.util
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from email.message import Message
from pathlib import Path, PurePosixPath

import pytest
import setuptools
import torch
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).resolve().parent.parent
BUILD = "import sys, setuptools.build_meta as x; print(getattr(x, 'build_' + sys.argv[1])(sys.argv[2]))"
PACKAGES = ("core", "rvm_nodes", "training")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        Version(setuptools.__version__) < Version("77"), reason=f"setuptools {setuptools.__version__}; a build needs 77"
    ),
]


@pytest.fixture(scope="module")
def tracked() -> list[str]:
    """The checkout's files, without what git ignores."""
    listing = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    try:
        answer = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"not a git checkout: {error}")
    return sorted(name for name in answer.stdout.split("\0") if name and (ROOT / name).is_file())


@pytest.fixture(scope="module")
def built(tracked, tmp_path_factory) -> dict[str, Path]:
    """The files "sdist", "wheel" (of the unpacked sdist, as an index gets it) and "local" (`pip install .`)."""
    folder = tmp_path_factory.mktemp("built")
    checkout = folder / "checkout"
    for name in tracked:
        (checkout / name).parent.mkdir(parents=True, exist_ok=True)
        (checkout / name).write_bytes((ROOT / name).read_bytes())
    stale = checkout / "build" / "lib" / "rvm_studio" / "core" / "gone_since.py"
    stale.parent.mkdir(parents=True)
    stale.write_text("raise ImportError('of an earlier version')\n", encoding="utf-8")

    sdist = build("sdist", checkout, folder)
    with tarfile.open(sdist) as archive:
        options = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
        archive.extractall(folder / "unpacked", **options)
    (source,) = (folder / "unpacked").iterdir()
    return {
        "sdist": sdist,
        "wheel": build("wheel", source, folder),
        "local": build("wheel", checkout, folder / "local"),
    }


def build(kind: str, source: Path, into: Path) -> Path:
    into.mkdir(exist_ok=True)
    command = [sys.executable, "-c", BUILD, kind, str(into)]
    answer = subprocess.run(command, cwd=source, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return into / answer.stdout.splitlines()[-1]


def contents(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def metadata(wheel: Path) -> Message:
    (text,) = (data for name, data in contents(wheel).items() if name.endswith(".dist-info/METADATA"))
    return email.message_from_bytes(text)


def test_the_source_package_is_the_checkout(built, tracked):
    with tarfile.open(built["sdist"]) as archive:
        names = {PurePosixPath(*PurePosixPath(entry.name).parts[1:]) for entry in archive if entry.isfile()}
    made = {name for name in names if name.parts[0] in ("PKG-INFO", "setup.cfg", "rvm_studio.egg-info")}
    assert len(made) < len(names)
    assert {str(name) for name in names - made} == set(tracked)


def test_the_wheel_is_the_package_and_its_assets(built, tracked):
    def belongs(name: str) -> bool:
        first, _, rest = name.partition("/")
        if not rest:
            return name in ("__init__.py", "__main__.py", "py.typed")
        return name.endswith(".py") if first in PACKAGES else first == "assets" and not name.endswith(".py")

    names = set(contents(built["wheel"]))
    described = {name for name in names if name.startswith("rvm_studio-") and ".dist-info/" in name}
    assert names - described == {f"rvm_studio/{name}" for name in tracked if belongs(name)}
    assert {name.partition("/")[2] for name in described} == {
        *("METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE", "top_level.txt")
    }


def test_a_wheel_of_the_checkout_is_that_of_the_source_package(built):
    """Also with what an earlier build left in `build`."""
    assert contents(built["local"]) == contents(built["wheel"])


def test_the_description_needs_no_file_beside_it(built):
    about = metadata(built["wheel"])
    assert about["Description-Content-Type"] == "text/markdown"
    text = str(about.get_payload())
    links = re.findall(r"(!?)\[[^\]]*\]\(([^)#]+)", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    repository = dict(line.split(", ") for line in about.get_all("Project-URL", []))["Repository"]
    ours = re.compile(rf"{re.escape(repository)}/(raw|blob)/v{re.escape(about['Version'])}/(.+)")
    found = [(picture, ours.fullmatch(link)) for picture, link in links if link.startswith(repository)]
    assert all(link.startswith("https://") for _, link in links)
    assert {bool(picture) for picture, _ in found} == {True, False}
    for picture, match in found:
        assert match
        assert match[1] == ("raw" if picture else "blob")
        assert (ROOT / match[2]).exists()


MACHINES = {
    "Linux": ("linux", "x86_64", "3.13", {"openvino", "numba"}),
    "Linux on ARM": ("linux", "aarch64", "3.10", {"openvino", "numba"}),
    "Windows": ("win32", "AMD64", "3.14", {"openvino", "numba"}),
    "a Python too new for OpenVINO": ("linux", "x86_64", "3.15", {"numba"}),
    "Windows on ARM": ("win32", "ARM64", "3.13", set()),
    "Mac": ("darwin", "arm64", "3.13", set()),
}


@pytest.mark.parametrize("machine", MACHINES)
def test_who_gets_what_makes_a_cpu_fast(built, machine):
    platform, processor, python, expected = MACHINES[machine]
    surroundings = {"sys_platform": platform, "platform_machine": processor, "python_version": python, "extra": ""}
    requirements = [Requirement(line) for line in metadata(built["wheel"]).get_all("Requires-Dist", [])]
    marked = {entry.name: entry for entry in requirements if entry.marker and "sys_platform" in str(entry.marker)}
    assert {name for name, entry in marked.items() if entry.marker.evaluate(surroundings)} == expected
    by_name = {entry.name: entry for entry in requirements if str(entry.marker) == 'extra == "fast"'}
    assert {name: entry.specifier for name, entry in marked.items()} == {
        name: entry.specifier for name, entry in by_name.items()
    }


def test_an_index_takes_both(built, published_tool):
    twine = published_tool("twine")
    command = [twine, "check", "--strict", built["sdist"], built["wheel"]]
    answer = subprocess.run(command, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert answer.stdout.count("PASSED") == 2


@pytest.fixture(scope="module")
def install(built, tmp_path_factory):
    """`install(kind)` -> `run(program, *arguments)` -> what it wrote, in an empty folder, by an environment that has
    nothing but the package and sees this environment's packages."""
    if importlib.util.find_spec("pip") is None:
        pytest.skip("this environment has no pip")

    def make(kind: str):
        folder = tmp_path_factory.mktemp("installed")
        place, cache = folder / "empty", str(folder / "cache")
        place.mkdir()
        foreign = ("PYTHONPATH", "RVM_WEIGHTS", "RVM_MODELS_DIR")
        environ = {name: value for name, value in os.environ.items() if name not in foreign}
        environ |= {"XDG_CACHE_HOME": cache, "LOCALAPPDATA": cache}
        scripts = folder / "env" / ("Scripts" if os.name == "nt" else "bin")

        def run(program: str | Path, *arguments: str | Path) -> str:
            command = [scripts / program, *arguments]
            answer = subprocess.run(
                command, cwd=place, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
            )
            assert answer.returncode == 0, answer.stdout
            return answer.stdout

        run(sys.executable, "-m", "venv", "--without-pip", scripts.parent)
        (packages,) = scripts.parent.glob("Lib/site-packages" if os.name == "nt" else "lib/python*/site-packages")
        seen = [entry for entry in sys.path if Path(entry).name in ("site-packages", "dist-packages")]
        (packages / "seen.pth").write_text("".join(f"{entry}\n" for entry in seen), encoding="utf-8")
        # By force: this environment, seen from there, has the checkout in the same version.
        options = ("--no-index", "--no-deps", "--no-build-isolation", "--force-reinstall")
        run("python", "-m", "pip", "install", *options, built[kind])
        assert Path(run("python", "-c", "import rvm_studio as x; print(x.__file__)").strip()).parent.parent == packages
        return run

    return make


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["wheel", "sdist"])
def test_installed_elsewhere_it_knows_its_version_and_the_fast_engine(built, install, kind):
    pytest.importorskip("openvino")
    pytest.importorskip("numba")
    said = install(kind)("rvm-studio", "info")
    assert said.startswith(f"rvm-studio   {metadata(built['wheel'])['Version']}, ")
    if not (torch.cuda.is_available() or torch.backends.mps.is_available()):
        assert "engine openvino on cpu" in said


@pytest.mark.slow
def test_installed_elsewhere_it_mattes_its_own_sample(install):
    """The clip and the starter weights come along, and the first line tells the engine."""
    pytest.importorskip("openvino")
    pytest.importorskip("numba")
    run = install("wheel")
    said = run("rvm-studio", "demo", "--device", "cpu", "--weights", "starter")
    assert "engine openvino on cpu" in said.splitlines()[0]
    assert "full size by numba" in said.splitlines()[0]
    assert all(name in said for name in ("matte.mov", "green.mp4", "contact_sheet.png"))
    size = "import pathlib; print(min(p.stat().st_size for p in pathlib.Path('rvm-demo').iterdir()))"
    assert int(run("python", "-c", size)) > 10_000

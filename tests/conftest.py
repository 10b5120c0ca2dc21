"""Shared fixtures: the reference data (golden vectors, 8-bit official weights), skipped where the folder is missing."""

import os
import shutil
import sys
from collections import Counter
from pathlib import Path

# Before torch is loaded: the tests share their cores with decoders, encoders and processes that they start.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import hypothesis
import pytest
from safetensors import safe_open

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT / "tests" / "patience"))

# Examples that take long on a slow or busy machine are no failures.
hypothesis.settings.register_profile(
    "any speed", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("any speed")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with the most slow tests first: begun last, a long file would keep one process busy when the others are
    done."""
    slow = Counter(item.path for item in items if item.get_closest_marker("slow"))
    items.sort(key=lambda item: -slow[item.path])


@pytest.fixture(scope="session")
def reference() -> Path:
    """Folder of the reference data: `RVM_REFERENCE`, or ../shared/reference beside the checkout."""
    folder = Path(os.environ.get("RVM_REFERENCE") or ROOT.parent / "shared" / "reference")
    if not (folder / "golden").is_dir():
        pytest.skip(f"no reference data at {folder} (set RVM_REFERENCE)")
    return folder


@pytest.fixture(scope="session")
def reference_weights(reference: Path) -> Path:
    """The official MobileNetV3 weights, 8-bit dequantised, BatchNorm folded, without `refiner.*`."""
    return reference / "weights" / "rvm_mobilenetv3_int8.safetensors"


@pytest.fixture(scope="session")
def golden(reference: Path):
    """`golden(name)` -> (tensors by name, metadata) of one golden file."""

    def load(name: str):
        with safe_open(reference / "golden" / f"{name}.safetensors", "pt") as file:
            return {key: file.get_tensor(key) for key in file.keys()}, file.metadata()  # noqa: SIM118

    return load


@pytest.fixture(scope="session")
def published_tool():
    """`published_tool(name)` -> the path of a tool that checks what is published, skipped where it is missing.

    They would be many dependencies for one's own environment: .ci/run puts them (.ci/tools.txt) into one of theirs.
    """
    folders = os.pathsep.join([os.environ.get("RVM_TOOLS", ""), os.environ.get("PATH", "")]).strip(os.pathsep)

    def find(name: str) -> str:
        path = shutil.which(name, path=folders)
        if path is None:
            pytest.skip(f"no {name} here (.ci/run installs it)")
        return path

    return find

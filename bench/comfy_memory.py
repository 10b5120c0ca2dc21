"""Peak memory and CPU time of the ComfyUI nodes: frames in memory (RVM Matte) compared with a streamed clip (RVM Matte
Video, RVM Save Alpha Video), for a short clip and one ten times as long.

    python bench/comfy_memory.py [--size 720p] [--frames 60 600] [--nodes RVMMatte RVMMatteVideo RVMSaveAlphaVideo]

Each run is a separate process with a stand-in for ComfyUI (tests/rvm_nodes/fake_comfy.py). The peak is that of the
whole process as reported by the operating system; before any frame it includes PyTorch and the network. CPU seconds
are those of the node alone. 600 frames of 720p as IMAGE and their results take 15 GB. Linux and macOS only.
"""

import argparse
import importlib.util
import json
import resource
import subprocess
import sys
import tempfile
from collections import deque
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from clips import SIZES, make_clip

NODES = ("RVMMatte", "RVMMatteVideo", "RVMSaveAlphaVideo")
FAKE = Path(__file__).resolve().parent.parent / "tests" / "rvm_nodes" / "fake_comfy.py"


class Patch:
    """Installs the stand-in's modules permanently."""

    def setitem(self, mapping, key, value) -> None:
        mapping[key] = value


def used() -> tuple[float, float]:
    """(peak megabytes, CPU seconds) of this process so far."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10), usage.ru_utime + usage.ru_stime


def defaults(node) -> dict:
    """The default values of a node's widgets."""
    widgets = node.INPUT_TYPES()["required"].items()
    return {key: options.get("default") for key, (kind, options) in widgets if "default" in options}


def load_pictures(clip: Path):
    """The whole clip as an IMAGE, like the output of a node that loads frames."""
    import torch
    from rvm_studio.core import open_reader

    with open_reader(clip) as reader:
        info = reader.info
        images = torch.empty(info.frame_count, info.height, info.width, 3)
        for t, frame in enumerate(reader):
            images[t] = torch.from_numpy(frame.image) / 255
    return images


def run_node(name: str, clip: Path, folder: Path) -> dict:
    """Runs a node once in this process and returns what it took."""
    spec = importlib.util.spec_from_file_location("fake_comfy", FAKE)
    fake = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fake)
    host = fake.FakeComfy(folder)
    host.previews = deque(maxlen=1)  # ComfyUI does not keep them; kept, they would count as the node's memory
    host.install(Patch())

    from rvm_studio.core import find_weights
    from rvm_studio.rvm_nodes import NODE_CLASS_MAPPINGS as NODES_BY_NAME
    from rvm_studio.rvm_nodes import comfy_host

    path = find_weights()
    comfy_host.weights_path = lambda chosen: path
    model = NODES_BY_NAME["RVMLoadModel"]().load("any", "fp32", "cpu", "auto")[0]
    node = NODES_BY_NAME[name]
    empty = used()[0]
    given = fake.VideoFromFile(str(clip)) if name != "RVMMatte" else load_pictures(clip)
    before = used()[1]
    result = getattr(node(), node.FUNCTION)(model, given, **defaults(node))
    peak, seconds = used()
    sizes = 0
    if name == "RVMMatte":
        blocks = {x.untyped_storage().data_ptr(): x.untyped_storage().nbytes() for x in (given, *result[:3])}
        sizes = sum(blocks.values()) / 2**20
    return {"peak": peak, "empty": empty, "seconds": seconds - before, "tensors": sizes}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=SIZES, default="720p")
    parser.add_argument("--frames", type=int, nargs="+", default=[60, 600])
    parser.add_argument("--nodes", nargs="+", choices=NODES, default=NODES)
    parser.add_argument("--child", nargs=2, metavar=("NODE", "CLIP"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if arguments.child:
            print(json.dumps(run_node(arguments.child[0], Path(arguments.child[1]), folder / "ComfyUI")))
            return
        print("| node | frames | peak MB | before any frame | the rest over inputs + outputs | CPU seconds per frame |")
        print("|---|---|---|---|---|---|")
        for node in arguments.nodes:
            for frames in arguments.frames:
                clip = folder / f"{frames}.mp4"
                if not clip.exists():
                    make_clip(clip, SIZES[arguments.size], frames)
                command = [sys.executable, __file__, "--child", node, str(clip)]
                done = subprocess.run(command, capture_output=True, text=True)
                if done.returncode:
                    sys.exit(f"{node} failed:\n{done.stderr}")
                took = json.loads(done.stdout.splitlines()[-1])
                share = "–"
                if took["tensors"]:
                    share = f"{(took['peak'] - took['empty']) / took['tensors']:.2f}x of {took['tensors']:.0f} MB"
                cells = [node, f"{frames} of {arguments.size}", f"{took['peak']:.0f}", f"{took['empty']:.0f}", share]
                print(f"| {' | '.join(cells)} | {took['seconds'] / frames:.3f} |", flush=True)


if __name__ == "__main__":
    main()

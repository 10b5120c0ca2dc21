"""A pack as many are: its folder goes on sys.path, and its own modules are imported from there, here as `core`.

It stands beside RVM Studio in the tests. Its nodes tell whose `core` is whose, and keep tensors exactly.
"""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

import core


class AAAWhoseCore:
    """Shows the owner of the top-level `core`, then the names under which RVM Studio's core is loaded."""

    CATEGORY, FUNCTION, RETURN_TYPES, OUTPUT_NODE = "testing", "tell", (), True

    @classmethod
    def INPUT_TYPES(cls):  # noqa: N802
        return {"required": {}}

    @classmethod
    def IS_CHANGED(cls):  # noqa: N802
        return float("nan")  # never from the cache

    def tell(self):
        import core as core_now

        assert core_now is core
        theirs = sorted(name for name in sys.modules if name.endswith(".core.stream.session"))
        return {"ui": {"text": [getattr(core_now, "OWNER", core_now.__file__), *theirs]}}


class AAAKeep:
    """Writes what comes in as output/kept/NAME_0.npy, NAME_1.npy ...: what a graph's later runs say is added."""

    CATEGORY, FUNCTION, RETURN_TYPES, OUTPUT_NODE = "testing", "keep", (), True

    @classmethod
    def INPUT_TYPES(cls):  # noqa: N802
        return {"required": {"name": ("STRING", {})}, "optional": {"images": ("IMAGE",), "mask": ("MASK",)}}

    def keep(self, name, images=None, mask=None):
        import folder_paths

        folder = Path(folder_paths.get_output_directory()) / "kept"
        folder.mkdir(exist_ok=True)
        number = len(list(folder.glob(f"{name}_*.npy")))
        np.save(folder / f"{name}_{number}.npy", (mask if images is None else images).cpu().numpy())
        return {"ui": {"text": [str(number)]}}


NODE_CLASS_MAPPINGS = {"AAAWhoseCore": AAAWhoseCore, "AAAKeep": AAAKeep}

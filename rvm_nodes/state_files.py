"""RVM Save State and RVM Load State: a stream's state in a file, for the next session or another machine."""

import re
from pathlib import Path

from ..core import StudioError
from .comfy_host import explained
from .widgets import entry

FOLDER = "rvm_states"  # in the output folder, and in the input folder


def saved_states() -> list[str]:
    """Names for the load widget, with the folder marked as ComfyUI does it: "shot.safetensors [output]". Empty without
    ComfyUI."""
    try:
        import folder_paths
    except ModuleNotFoundError:
        return []
    places = {"output": folder_paths.get_output_directory(), "input": folder_paths.get_input_directory()}
    return [
        f"{path.name} [{kind}]"
        for kind, folder in places.items()
        for path in sorted((Path(folder) / FOLDER).glob("*.safetensors"))
    ]


def state_path(marked: str) -> Path:
    """Path of the file for a name from `saved_states`. Raises StudioError for a name that is not a plain file name."""
    import folder_paths

    name, kind = re.fullmatch(r"(.*?)(?: \[(output|input)\])?", marked).groups()  # pyright: ignore
    folders = {"output": folder_paths.get_output_directory(), "input": folder_paths.get_input_directory()}
    if not name or name != Path(name).name or name.startswith(".") or "\0" in name:
        raise StudioError(f"{marked!r} is not the name of a saved state. Choose one from the list.")
    return Path(folders[kind or "output"]) / FOLDER / name


@explained
class RVMSaveState:
    DISPLAY_NAME = "RVM Save State"
    DESCRIPTION = (
        "Saves the state after a clip's last frame to output/rvm_states, to continue with the next part of the clip "
        "later. A file of the same name is overwritten."
    )
    CATEGORY = "video/matting"
    FUNCTION = "save"
    RETURN_TYPES = ("RVM_STATE",)
    RETURN_NAMES = ("state",)
    OUTPUT_TOOLTIPS = ("The same state, passed through.",)
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls):  # noqa: N802
        return {
            "required": {
                "state": entry("RVM_STATE", "The state output of a matting node."),
                "name": entry("STRING", "Name of the file, without the extension.", default="clip"),
            }
        }

    def save(self, state, name: str):
        from ..core import save_state, state_from_dict

        stem = name.strip().removesuffix(".safetensors")
        if not stem or stem != Path(stem).name or re.search(r'[\\/:*?"<>|]', stem) or stem.startswith("."):
            raise StudioError(f"The name {name!r} is not a valid file name. Use letters, digits, spaces, - and _.")
        if state is None:
            raise StudioError("There is no state to save: the connected node processed no frames.")
        path = save_state(state_from_dict(state), state_path(f"{stem}.safetensors"))
        return {"ui": {"text": (f"{path.parent.name}/{path.name}",)}, "result": (state,)}


@explained
class RVMLoadState:
    DISPLAY_NAME = "RVM Load State"
    DESCRIPTION = "Loads a state that RVM Save State saved (from output/rvm_states or input/rvm_states)."
    CATEGORY = "video/matting"
    FUNCTION = "load"
    RETURN_TYPES = ("RVM_STATE",)
    RETURN_NAMES = ("state",)
    OUTPUT_TOOLTIPS = ("For the state input of a matting node.",)

    @classmethod
    def INPUT_TYPES(cls):  # noqa: N802
        return {
            "required": {
                "name": entry(
                    saved_states(),
                    "Files in output/rvm_states and input/rvm_states. Refresh (R) to list new files.",
                ),
            }
        }

    @classmethod
    def VALIDATE_INPUTS(cls, name):  # noqa: N802
        """Accepts files that were saved after the list was built."""
        try:
            found = state_path(name).is_file()
        except StudioError as error:
            return str(error)
        return found or f"The state {name!r} does not exist. Save one with RVM Save State first."

    @classmethod
    def IS_CHANGED(cls, name):  # noqa: N802
        """Makes ComfyUI load the file again after it has changed."""
        path = state_path(name)
        return path.stat().st_mtime_ns if path.is_file() else -1

    def load(self, name: str):
        from ..core import load_state, state_to_dict

        return (state_to_dict(load_state(state_path(name))[0]),)

"""RVM Save State and RVM Load State: a stream's memory on the disk, for the next session or another machine."""

import re
from pathlib import Path

from ..core import StudioError
from .comfy_host import explained
from .widgets import entry

FOLDER = "rvm_states"  # in the output folder, and in the input folder


def saved_states() -> list[str]:
    """Names for the load widget: "shot.safetensors [output]", as ComfyUI marks its folders. None without ComfyUI."""
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
    """The file of a name that `saved_states` gave. Raises StudioError for any other."""
    import folder_paths

    name, kind = re.fullmatch(r"(.*?)(?: \[(output|input)\])?", marked).groups()  # pyright: ignore
    folders = {"output": folder_paths.get_output_directory(), "input": folder_paths.get_input_directory()}
    if not name or name != Path(name).name or name.startswith("."):
        raise StudioError(f"{marked!r} is no name of a saved state. Choose one from the list.")
    return Path(folders[kind or "output"]) / FOLDER / name


@explained
class RVMSaveState:
    DISPLAY_NAME = "RVM Save State"
    DESCRIPTION = (
        "Keeps the state after a clip's last frame as a file (output/rvm_states), to go on with the next part of the "
        "clip later. A file of the same name is replaced."
    )
    CATEGORY = "video/matting"
    FUNCTION = "save"
    RETURN_TYPES = ("RVM_STATE",)
    RETURN_NAMES = ("state",)
    OUTPUT_TOOLTIPS = ("The same state, to go on with.",)
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls):  # noqa: N802
        return {
            "required": {
                "state": entry("RVM_STATE", "From a node that mattes."),
                "name": entry("STRING", "Name of the file, without an ending.", default="clip"),
            }
        }

    def save(self, state, name: str):
        from ..core import save_state, state_from_dict

        stem = name.strip().removesuffix(".safetensors")
        if not stem or stem != Path(stem).name or re.search(r'[\\/:*?"<>|]', stem) or stem.startswith("."):
            raise StudioError(f"The name {name!r} cannot be a file's. Use letters, digits, spaces, - and _.")
        if state is None:
            raise StudioError("There is no state yet: the node before this one had no frames.")
        path = save_state(state_from_dict(state), state_path(f"{stem}.safetensors"))
        return {"ui": {"text": (f"{path.parent.name}/{path.name}",)}, "result": (state,)}


@explained
class RVMLoadState:
    DISPLAY_NAME = "RVM Load State"
    DESCRIPTION = "Loads a state that RVM Save State kept (output/rvm_states or input/rvm_states)."
    CATEGORY = "video/matting"
    FUNCTION = "load"
    RETURN_TYPES = ("RVM_STATE",)
    RETURN_NAMES = ("state",)
    OUTPUT_TOOLTIPS = ("For the state input of a node that mattes.",)

    @classmethod
    def INPUT_TYPES(cls):  # noqa: N802
        return {
            "required": {
                "name": entry(
                    saved_states(),
                    "Files of output/rvm_states and input/rvm_states. New ones appear after a refresh (R).",
                ),
            }
        }

    @classmethod
    def VALIDATE_INPUTS(cls, name):  # noqa: N802
        """Lets a file be named that was saved after the list was made."""
        try:
            found = state_path(name).is_file()
        except StudioError as error:
            return str(error)
        return found or f"The state {name!r} is not there. Save one with RVM Save State first."

    @classmethod
    def IS_CHANGED(cls, name):  # noqa: N802
        """ComfyUI loads it again when the file has changed."""
        path = state_path(name)
        return path.stat().st_mtime_ns if path.is_file() else -1

    def load(self, name: str):
        from ..core import load_state, state_to_dict

        return (state_to_dict(load_state(state_path(name))[0]),)

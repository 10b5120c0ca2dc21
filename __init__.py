"""RVM Studio: video matting for creators. For ComfyUI this folder is a pack of nodes.

Importing this package has no side effects and imports no torch; take what is needed from `rvm_studio.core`.
"""

from typing import Any

__version__ = "0.2.0"

WEB_DIRECTORY = "./web"  # the nodes' help pages
_FOR_COMFYUI = ("NODE_CLASS_MAPPINGS", "NODE_DISPLAY_NAME_MAPPINGS")


def __getattr__(name: str) -> Any:
    # Only ComfyUI asks for these. Test tools execute this file on its own, where a relative import would fail.
    if name not in _FOR_COMFYUI:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import rvm_nodes

    return getattr(rvm_nodes, name)

"""What comes in at a node's sockets: any other node pack may be connected there, and linked values pass ComfyUI's own
checks of widgets by.

Tensors and numbers are checked once, before the node's own code: what was found, what was expected, what to connect.
"""

import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any

from ..core import StudioError

LARGEST_SIDE = 1 << 16  # pixels
_CHECKED = ("IMAGE", "MASK", "FLOAT", "INT", "BOOLEAN", "STRING", "RVM_STATE")


def checked(node: type, method: Callable, arguments: tuple, named: dict[str, Any]) -> dict[str, Any]:
    """The method's arguments by name, each as its kind in the node's schema. Masks [H, W], [T, 1, H, W] and of bool
    become float [T, H, W]. Raises StudioError."""
    values = inspect.signature(method).bind(None, *arguments, **named).arguments
    given = {**{name: value for name, value in values.items() if name != "options"}, **values.get("options", {})}
    given.pop("self")
    schema = node.INPUT_TYPES()  # pyright: ignore[reportAttributeAccessIssue]
    for name, (kind, options) in {**schema["required"], **schema.get("optional", {})}.items():
        optional = name not in schema["required"]
        if name not in given or (given[name] is None and optional):
            continue
        if isinstance(kind, list):
            if options.get("default") is not None:  # lists of files have none, and may have grown since
                _check_choice(name, given[name], kind)
        elif kind in _CHECKED:
            given[name] = _BY_KIND[kind](name, given[name], options)
    return given


def _check_choice(name: str, value: Any, choices: list[str]) -> None:
    if not isinstance(value, str) or value not in choices:
        raise StudioError(f"{name} is {_shown(value)}; expected {', '.join(choices)}.")


def _image(name: str, value: Any, options: Mapping[str, Any]) -> Any:
    shape = _float_tensor(name, value, "an IMAGE")
    if len(shape) != 4 or not 3 <= shape[-1] <= 4:
        raise StudioError(
            f"The {name} have the shape {list(shape)}; expected [frames, height, width, 3]. Connect an IMAGE of colour "
            "frames."
        )
    _check_size(name, shape[1:3])
    return value


def _mask(name: str, value: Any, options: Mapping[str, Any]) -> Any:
    import torch

    if isinstance(value, torch.Tensor) and value.dtype == torch.bool:
        value = value.float()
    shape = _float_tensor(name, value, "a MASK")
    if len(shape) == 2:
        value = value[None]
    elif len(shape) == 4 and shape[1] == 1:
        value = value[:, 0]
    elif len(shape) != 3:
        raise StudioError(f"The {name} has the shape {list(shape)}; expected [frames, height, width]. Connect a MASK.")
    _check_size(name, value.shape[1:])
    if not math.isfinite(value.sum(dtype=torch.float64).item()):
        raise StudioError(f"The {name} contains values that are no numbers (NaN or infinite); expected 0 to 1.")
    return value


def _float_tensor(name: str, value: Any, kind: str) -> tuple[int, ...]:
    import torch

    if not isinstance(value, torch.Tensor):
        raise StudioError(f"The {name} input is {_shown(value)}, not {kind}. Connect {kind} to it.")
    if not value.is_floating_point() or value.layout != torch.strided or value.is_meta:
        raise StudioError(f"The {name} input is a tensor of {value.dtype}, {value.layout}; expected float, 0 to 1.")
    if value.element_size() == 1:
        raise StudioError(f"The {name} input is a tensor of {value.dtype}; expected float, 0 to 1.")
    return tuple(value.shape)


def _check_size(name: str, size: tuple[int, ...]) -> None:
    if not all(0 < side <= LARGEST_SIDE for side in size):
        raise StudioError(f"The {name} input has {size[1]}x{size[0]} pixels; expected 1 to {LARGEST_SIDE} a side.")


def _number(name: str, value: Any, options: Mapping[str, Any]) -> Any:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if isinstance(value, (str, bytes)) or not options["min"] <= number <= options["max"]:
        raise StudioError(f"{name} is {_shown(value)}; expected {options['min']} to {options['max']}.")
    return number


def _whole_number(name: str, value: Any, options: Mapping[str, Any]) -> int:
    number = _number(name, value, options)
    if number != int(number):
        raise StudioError(f"{name} is {_shown(value)}; expected a whole number.")
    return int(number)


def _text(name: str, value: Any, options: Mapping[str, Any]) -> str:
    if not isinstance(value, str) or "\0" in value:
        raise StudioError(f"{name} is {_shown(value)}; expected a text.")
    return value


def _switch(name: str, value: Any, options: Mapping[str, Any]) -> bool:
    if not isinstance(value, (bool, int)):
        raise StudioError(f"{name} is {_shown(value)}; expected true or false.")
    return bool(value)


def _state(name: str, value: Any, options: Mapping[str, Any]) -> Any:
    if value is not None and not isinstance(value, Mapping):
        raise StudioError(f"The {name} input is {_shown(value)}, not a state. Connect the state output of an RVM node.")
    return value


def _shown(value: Any) -> str:
    """A short text for a value of any kind."""
    if isinstance(value, (str, int, float)):
        text = repr(value)
        return text if len(text) <= 60 else f"{text[:60]}..."
    return f"a {type(value).__name__}"


_BY_KIND: dict[str, Callable[[str, Any, Mapping[str, Any]], Any]] = {
    "IMAGE": _image,
    "MASK": _mask,
    "FLOAT": _number,
    "INT": _whole_number,
    "STRING": _text,
    "BOOLEAN": _switch,
    "RVM_STATE": _state,
}

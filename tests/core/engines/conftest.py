"""The fill formula of the network's tests, for these as well."""

import importlib.util
from pathlib import Path

_spec = importlib.util.spec_from_file_location(
    "network_conftest", Path(__file__).parent.parent / "network" / "conftest.py"
)
_module = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_module)
filled_state_dict = _module.filled_state_dict

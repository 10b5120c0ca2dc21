"""The rows about the network: each belongs to the two groups that share them, and reaches the table."""

from rvm_studio.core.clips.network_options import NETWORK_OPTIONS
from rvm_studio.core.clips.option_table import OPTIONS


def test_they_are_in_the_table():
    assert {option.group for option in NETWORK_OPTIONS} == {"matting", "network"}
    assert [option for option in OPTIONS if option.group in ("matting", "network")] == list(NETWORK_OPTIONS)

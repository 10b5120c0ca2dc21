"""Damaged pictures are meant here: Pillow's warnings about them are no news."""

import pytest


@pytest.fixture(autouse=True)
def _damage_is_meant(recwarn):
    yield
    recwarn.clear()

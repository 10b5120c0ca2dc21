"""Files of the .cube format: tables read as the specification says, and clear errors."""

import pytest
import torch
from rvm_studio.core.errors import StudioError
from rvm_studio.core.pictures.cube_lut import cube_view


def cube(size: int, function, head: str = "") -> str:
    """A 3D table of function(r, g, b); red changes fastest."""
    steps = [step / (size - 1) for step in range(size)]
    rows = ["{} {} {}".format(*function(r, g, b)) for b in steps for g in steps for r in steps]
    return f'TITLE "test"\n# a remark\n{head}LUT_3D_SIZE {size}\n\n' + "\n".join(rows) + "\n"


PICTURE = torch.rand(2, 3, 6, 5, generator=torch.Generator().manual_seed(3))
RED, GREEN, BLUE = (PICTURE[:, channel] for channel in range(3))


def test_each_axis_is_its_own_colour():
    view = cube_view(cube(3, lambda r, g, b: (0.9 * r, 0.5 * g, 0.1 * b)), "axes.cube")
    expected = torch.stack([0.9 * RED, 0.5 * GREEN, 0.1 * BLUE], 1)
    assert torch.allclose(view(PICTURE), expected, atol=1e-6)
    turned = cube_view(cube(4, lambda r, g, b: (b, r, g)), "turned.cube")
    assert torch.allclose(turned(PICTURE), torch.stack([BLUE, RED, GREEN], 1), atol=1e-6)


def test_between_the_entries_it_is_trilinear():
    """A product is linear along each axis, so trilinear interpolation of its corners is exact."""
    view = cube_view(cube(2, lambda r, g, b: (r * g * b, r * g, 1 - r)), "product.cube")
    expected = torch.stack([RED * GREEN * BLUE, RED * GREEN, 1 - RED], 1)
    assert torch.allclose(view(PICTURE), expected, atol=1e-6)


def test_a_table_for_each_channel():
    text = "LUT_1D_SIZE 3\n0 0 1\n0.5 0.2 0.5\n1 1 0\n"
    seen = cube_view(text, "curves.cube")(PICTURE)
    bent = torch.where(GREEN < 0.5, 0.4 * GREEN, 0.2 + 1.6 * (GREEN - 0.5))
    assert torch.allclose(seen, torch.stack([RED, bent, 1 - BLUE], 1), atol=1e-6)


@pytest.mark.parametrize("head", ["DOMAIN_MIN 0.2 0.2 0.2\nDOMAIN_MAX 0.7 0.7 0.7\n", "LUT_3D_INPUT_RANGE 0.2 0.7\n"])
def test_the_inputs_range(head):
    view = cube_view(cube(2, lambda r, g, b: (r, g, b), head), "range.cube")
    assert torch.allclose(view(PICTURE), ((PICTURE - 0.2) / 0.5).clamp(0, 1), atol=1e-6)


def test_a_curve_in_front_of_a_table_as_resolve_writes_it():
    grid = cube(2, lambda r, g, b: (1 - r, 1 - g, 1 - b)).split("LUT_3D_SIZE 2\n")[1]
    text = "LUT_1D_SIZE 2\nLUT_1D_INPUT_RANGE 0 1\nLUT_3D_SIZE 2\n0 0 0\n0.5 0.5 0.5\n" + grid
    assert torch.allclose(cube_view(text, "both.cube")(PICTURE), 1 - 0.5 * PICTURE, atol=1e-6)


def test_line_ends_marks_and_case():
    text = "\ufeff" + cube(2, lambda r, g, b: (r, g, b)).replace("\n", "\r\n").replace("1.0", "1e0")
    view = cube_view(text, "windows.cube")
    assert view.name == "windows.cube"
    assert torch.allclose(view(PICTURE), PICTURE, atol=1e-6)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "x.cube is not a .cube LUT: it has no LUT_3D_SIZE or LUT_1D_SIZE."),
        ("0 0 0\n1 1 1", "it has no LUT_3D_SIZE"),
        ("LUT_3D_SIZE 2\n0 0 0\n", "x.cube has 1 lines of values, but its size needs 8: the file is incomplete"),
        ("LUT_3D_SIZE 1\n0 0 0\n", "x.cube, line 1: LUT_3D_SIZE must be a whole number from 2 to 256, not '1'."),
        ("LUT_3D_SIZE many", "from 2 to 256, not 'many'"),
        ("LUT_1D_SIZE 99999999", "LUT_1D_SIZE must be a whole number from 2 to 65536"),
        ("LUT_1D_SIZE 2\n0 0 0\n1 1\n", "x.cube, line 3: 3 numbers were expected, not '1 1'."),
        ("LUT_1D_SIZE 2\n0 0 nan\n1 1 1\n", "x.cube, line 2: 3 numbers were expected, not '0 0 nan'."),
        ("LUT_1D_SIZE 2\n0 0 inf\n1 1 1\n", "3 numbers were expected"),
        ("LUT_1D_SIZE 2\nDOMAIN_MIN 0 0\n0 0 0\n1 1 1\n", "x.cube, line 2: 3 numbers were expected"),
        ("LUT_1D_SIZE 2\nDOMAIN_MAX 0 0 0\n0 0 0\n1 1 1\n", "x.cube: its input range from [0.0, 0.0, 0.0] to"),
        ("<html>\n<body>\n", "x.cube, line 1: 3 numbers were expected, not '<html>'."),
        ("version 1\n", "x.cube, line 1: 'version' is not known in a .cube file."),
    ],
)
def test_what_is_no_cube_file(text, message):
    with pytest.raises(StudioError) as error:
        cube_view(text, "x.cube")
    assert message in str(error.value)

"""Ellipsoids and cones against their areas, depths and normals worked out by hand."""

# N moments, H, W

import math

import numpy as np
import pytest
import torch
from rvm_studio.training.datasets.synthesis.hair import Strands, splat
from rvm_studio.training.datasets.synthesis.palette import flat
from rvm_studio.training.datasets.synthesis.surfaces import (
    Canvas,
    Cone,
    Ellipsoid,
    Frame,
    Look,
    View,
    Window,
    place,
)

CPU = torch.device("cpu")
RED, BLUE = flat(np.array([1.0, 0, 0])), flat(np.array([0, 0, 1.0]))
NOW = np.array([0])


def view(scale: float = 100.0, roll: float = 0.0, distance: float = 1e6) -> View:
    return View(np.zeros((1, 2)), np.array([scale]), np.array([roll]), distance)


def frame(x: float = 0, y: float = 0, z: float = 0, axes: np.ndarray | None = None) -> Frame:
    return Frame(np.array([[x, y, z]]), np.eye(3)[None] if axes is None else axes[None])


def drawn(*surfaces, seen: View | None = None, size: tuple[int, int] = (120, 160)) -> Canvas:
    canvas = Canvas(1, Window(0, size[0], 0, size[1]), size, CPU)
    for surface in surfaces:
        canvas.draw(place(surface, seen or view(), CPU), NOW)
    return canvas


def turned(degrees: float) -> np.ndarray:
    """About z."""
    a = math.radians(degrees)
    return np.array([[math.cos(a), -math.sin(a), 0], [math.sin(a), math.cos(a), 0], [0, 0, 1]])


def tilted(degrees: float) -> np.ndarray:
    """About x."""
    a = math.radians(degrees)
    return np.array([[1, 0, 0], [0, math.cos(a), -math.sin(a)], [0, math.sin(a), math.cos(a)]])


@pytest.mark.parametrize("angle", [0, 30, 90])
def test_an_ellipsoid_covers_the_area_of_its_ellipse(angle):
    canvas = drawn(Ellipsoid(frame(axes=turned(angle)), (0, 0, 0), (0.4, 0.2, 0.3), RED))
    assert float(canvas.cover.sum()) == pytest.approx(math.pi * 40 * 20, rel=2e-3)


@pytest.mark.parametrize("angle", [0, 40, 90])
def test_a_tilted_ellipsoid(angle):
    """Turned about x, its height is that of an ellipse's shadow."""
    canvas = drawn(Ellipsoid(frame(axes=tilted(angle)), (0, 0, 0), (0.3, 0.2, 0.4), RED))
    high = math.hypot(0.2 * math.cos(math.radians(angle)), 0.4 * math.sin(math.radians(angle)))
    assert float(canvas.cover.sum()) == pytest.approx(math.pi * 30 * high * 100, rel=2e-3)


def test_depth_and_normal_of_a_sphere():
    canvas = drawn(Ellipsoid(frame(z=0.5), (0, 0, 0), (0.4, 0.4, 0.4), RED))
    y, x = 40, 100  # a pixel's centre is half a pixel on
    dx, dy = (x + 0.5 - 80) / 100, (60 - y - 0.5) / 100
    dz = math.sqrt(0.16 - dx**2 - dy**2)
    assert float(canvas.values[0, 7, y, x]) == pytest.approx(0.5 + dz, abs=1e-4)
    normal = canvas.values[0, 3:6, y, x]
    torch.testing.assert_close(normal, torch.tensor([dx, dy, dz]) / 0.4, atol=1e-4, rtol=0)


def test_depth_and_normal_of_a_slanted_ellipsoid():
    """Against the quadric itself, at every covered pixel."""
    axes = turned(25) @ tilted(35)
    radii = np.array([0.45, 0.2, 0.3])
    canvas = drawn(Ellipsoid(frame(0.1, -0.05, 0.2, axes), (0, 0, 0), tuple(radii), RED))
    inside = canvas.cover[0, 0] >= 1
    rows, columns = inside.nonzero(as_tuple=True)
    points = np.stack(
        [(columns + 0.5).numpy() / 100 - 0.8, 0.6 - (rows + 0.5).numpy() / 100, canvas.values[0, 7][inside].numpy()], 1
    )
    local = (points - [0.1, -0.05, 0.2]) @ axes / radii
    np.testing.assert_allclose((local**2).sum(1), 1, atol=2e-3)
    gradient = (local / radii) @ axes.T
    gradient /= np.linalg.norm(gradient, axis=1, keepdims=True)
    np.testing.assert_allclose(canvas.values[0, 3:6][:, inside].T.numpy(), gradient, atol=2e-3)


def test_a_material_is_given_places_of_its_body_part():
    places = {}

    def note(patch):
        places["found"] = patch.place
        return Look(torch.ones(3, 1, 1))

    drawn(Ellipsoid(frame(axes=turned(90)), (0.1, 0, 0.05), (0.3, 0.3, 0.3), note))
    found = places["found"][0].flatten(1)
    away = (found - torch.tensor([[0.1], [0], [0.05]])).norm(dim=0)
    assert float(away.min()) == pytest.approx(0.3, abs=1e-3)  # on the surface, or outside in the corners
    middle = places["found"][0, :, places["found"].shape[2] // 2, places["found"].shape[3] // 2]
    torch.testing.assert_close(middle, torch.tensor([0.1, 0, 0.35]), atol=8e-3, rtol=0)


@pytest.mark.parametrize(("r0", "r1"), [(0.1, 0.1), (0.15, 0.15)])
@pytest.mark.parametrize("end", [(0.6, 0.0), (0.3, 0.35), (0.0, 0.0)])
def test_a_stick_covers_its_outline(r0, r1, end):
    start, stop = np.array([[-0.3, -0.1, 0.0]]), np.array([[-0.3 + end[0], -0.1 + end[1], 0.0]])
    canvas = drawn(Cone(start, stop, (r0, r1), RED))
    length = math.hypot(*end)
    assert float(canvas.cover.sum()) == pytest.approx((2 * r0 * length + math.pi * r0**2) * 1e4, rel=4e-3)


def test_depth_of_a_stick():
    canvas = drawn(Cone(np.array([[-0.5, 0.005, 0.0]]), np.array([[0.5, 0.005, 1.0]]), (0.1, 0.1), RED))
    for x in (60, 80, 100):
        along = (x + 0.5 - 30) / 100
        assert float(canvas.values[0, 7, 59, x]) == pytest.approx(along + 0.1, abs=1e-3)


def test_the_nearer_surface_is_seen_whatever_the_order():
    near = Ellipsoid(frame(z=0.5), (0, 0, 0), (0.2, 0.2, 0.2), RED)
    far = Ellipsoid(frame(z=-0.5), (0, 0, 0), (0.4, 0.4, 0.2), BLUE)
    for order in ((near, far), (far, near)):
        canvas = drawn(*order)
        torch.testing.assert_close(canvas.values[0, :3, 60, 80], torch.tensor([1.0, 0, 0]), atol=1e-3, rtol=0)
        torch.testing.assert_close(canvas.values[0, :3, 60, 110], torch.tensor([0, 0, 1.0]), atol=1e-3, rtol=0)
        assert float(canvas.cover.sum()) == pytest.approx(math.pi * 40 * 40, rel=2e-3)


def test_edges_have_shares_of_pixels():
    """A half-covered pixel column: the outline of a large ellipsoid runs through pixel centres."""
    canvas = drawn(Ellipsoid(frame(), (0, 0, 0), (0.305, 5.0, 0.3), RED))
    assert float(canvas.cover[0, 0, 60, 110]) == pytest.approx(0.5, abs=0.02)
    assert float(canvas.cover[0, 0, 60, 109]) == 1
    assert float(canvas.cover[0, 0, 60, 111]) == 0


def test_the_camera():
    seen = View(np.array([[1.0, 2.0]]), np.array([100.0]), np.array([math.radians(90)]), 4.0)
    points, near = seen.project(np.array([[1.0, 3.0, 0.0]]))
    np.testing.assert_allclose(points[0, :2], [1, 0], atol=1e-12)  # rolled clockwise: up is to the right
    assert near[0] == 1
    _, near = seen.project(np.array([[1.0, 3.0, 2.0]]))
    assert near[0] == 2  # at half the distance twice as large
    np.testing.assert_allclose(seen.turn(np.eye(3)[None])[0] @ [0, 1, 0], [1, 0, 0], atol=1e-12)


def test_windows():
    a, b = Window(0, 10, 5, 9), Window(4, 12, 0, 7)
    assert a.within(b) == Window(4, 10, 5, 7)
    assert a.around(b) == Window(0, 12, 0, 9)
    nothing = Window(5, 5, 0, 3)
    assert nothing.empty
    assert a.around(nothing) == nothing.around(a) == a


def test_what_is_out_of_sight_leaves_nothing():
    canvas = drawn(Ellipsoid(frame(x=5), (0, 0, 0), (0.3, 0.3, 0.3), RED))
    assert float(canvas.cover.sum()) == 0


def test_a_part_of_the_canvas_holds_what_the_whole_would():
    surface = Ellipsoid(frame(0.1, 0.1), (0, 0, 0), (0.4, 0.3, 0.3), RED)
    whole = drawn(surface)
    part = Canvas(1, Window(30, 90, 50, 140), (120, 160), CPU)
    part.draw(place(surface, view(), CPU), NOW)
    assert torch.equal(part.cover, whole.cover[:, :, 30:90, 50:140])


@pytest.mark.parametrize("scale", [100.0, 200.0])
def test_strands_leave_their_length_times_their_thickness(scale):
    """A straight strand of 0.4 m: its mass in pixels, whatever the size of the picture, little of it in each."""
    points = np.array([[[-0.2, 0.01, 0], [0, 0.05, 0], [0.2, 0.09, 0]]])
    strands = Strands(frame(), points, np.ones(1), np.zeros((1, 3)), False)
    found = splat(strands, view(scale), NOW, (200, 300), CPU)
    assert found
    mass, bright = found.mass, found.bright
    assert found.window.right - found.window.left <= 0.4 * scale + 4
    length, thickness = np.hypot(0.4, 0.08), 0.00028
    covered = float(-torch.log1p(-mass).sum()) / scale**2
    assert covered == pytest.approx(length * thickness * (1.15 - 0.3), rel=0.02)  # thinner towards the end
    assert 0 < float(mass.max()) < 0.1
    assert float(bright.max()) == pytest.approx(1, abs=1e-5)


def test_strands_outside_the_picture_are_no_trouble():
    points = np.array([[[5.0, 0, 0], [5, 1, 0], [5, 2, 0]], [[0.79, 0.5, 0], [0.81, 0.59, 0], [0.9, 0.7, 0]]])
    strands = Strands(frame(), points, np.ones(2), np.zeros((1, 3)), False)
    found = splat(strands, view(), NOW, (120, 160), CPU)
    assert found
    assert torch.isfinite(found.mass).all()
    assert found.window.right == 160
    assert float(found.mass.sum()) > 0
    away = Strands(frame(), points[:1], np.ones(1), np.zeros((1, 3)), False)
    assert splat(away, view(), NOW, (120, 160), CPU) is None

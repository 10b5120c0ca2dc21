"""Bodies keep their bones, whatever they do."""

# N moments

import numpy as np
import pytest
from rvm_studio.training.datasets.synthesis.randomness import Dice
from rvm_studio.training.datasets.synthesis.skeleton import assemble, draw_build, draw_pose, halfway

SECONDS = np.linspace(0, 4, 101)


def body(seed: int):
    dice = Dice(seed)
    build = draw_build(dice)
    pose = draw_pose(dice, build, SECONDS, bool(seed % 2))
    return build, assemble(build, pose)


@pytest.mark.parametrize("seed", range(12))
def test_bones_keep_their_length(seed):
    build, figure = body(seed)
    for limb, first, second in [
        *((arm, 0.172, 0.148) for arm in figure.arms),
        *((leg, 0.245, 0.235) for leg in figure.legs),
    ]:
        upper = np.linalg.norm(limb.middle - limb.root, axis=1)
        lower = np.linalg.norm(limb.end - limb.middle, axis=1)
        np.testing.assert_allclose(upper, first * build.height, rtol=1e-9)
        np.testing.assert_allclose(lower, second * build.height, rtol=1e-9)


@pytest.mark.parametrize("seed", range(12))
def test_frames_are_rotations(seed):
    _, figure = body(seed)
    frames = [figure.pelvis, figure.chest, figure.head, *(limb.last for limb in (*figure.arms, *figure.legs))]
    for frame in frames:
        np.testing.assert_allclose(
            frame.axes @ np.swapaxes(frame.axes, 1, 2), np.tile(np.eye(3), (101, 1, 1)), atol=1e-9
        )
        np.testing.assert_allclose(np.linalg.det(frame.axes), 1, atol=1e-9)


@pytest.mark.parametrize("seed", range(20))
def test_heads_are_up_and_motion_is_steady(seed):
    build, figure = body(seed)
    rise = figure.head.origin[:, 1] - figure.pelvis.origin[:, 1]
    assert (rise > 0.25 * build.height).all()
    for points in (figure.head.origin, *(arm.end for arm in figure.arms)):
        speed = np.linalg.norm(np.diff(points, axis=0), axis=1) / (SECONDS[1] - SECONDS[0])
        assert speed.max() < 9  # metres a second: a fast wave of the hand


def test_people_differ():
    builds = [draw_build(Dice(seed)) for seed in range(200)]
    assert min(build.height for build in builds) < 1.4
    assert max(build.height for build in builds) > 1.8
    assert 60 < sum(build.bust > 0 for build in builds) < 140


def test_halfway_between_two_rotations():
    def about_z(degrees: float) -> np.ndarray:
        a = np.deg2rad(degrees)
        return np.array([[[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]]])

    np.testing.assert_allclose(halfway(about_z(10), about_z(70)), about_z(40), atol=1e-12)


def test_the_same_moment_is_the_same_pose_in_any_clip():
    """Clips of other lengths and speeds see the same motion."""
    first, second = (assemble(build, draw_pose(dice, build, seconds, True)) for dice, seconds, build in _same())
    np.testing.assert_allclose(first.head.origin[40], second.head.origin[4], atol=1e-9)
    np.testing.assert_allclose(first.arms[0].end[100], second.arms[0].end[10], atol=1e-9)


def _same():
    for seconds in (SECONDS, SECONDS[::10]):
        dice = Dice(5)
        build = draw_build(dice)
        yield dice, seconds, build

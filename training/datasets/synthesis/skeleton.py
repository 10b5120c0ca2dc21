"""The build and movement of bodies: joints in world coordinates for every moment of a clip."""

# N moments; every curve is [N] or [N, 3], every rotation [N, 3, 3]

from dataclasses import dataclass, field

import numpy as np

from .randomness import Dice
from .surfaces import Frame


@dataclass(frozen=True)
class Build:
    """Proportions, in metres unless noted."""

    height: float
    bulk: float  # thickness of trunk and limbs, 1 is average
    shoulder: float  # from the centre to a shoulder joint
    hip: float
    bust: float  # 0 flat
    head: float  # scale of the head, 1 is 23 cm high

    @property
    def trunk(self) -> float:
        """From the pelvis to the base of the neck."""
        return 0.295 * self.height


def draw_build(dice: Dice) -> Build:
    child = dice.happens(0.08)
    height = dice.between(1.05, 1.45) if child else dice.around(1.71, 0.09)
    woman = dice.happens(0.5)
    bulk = dice.ratio(0.85, 1.4) * (0.95 if woman else 1.03)
    shoulder = height * dice.around(0.092 if woman else 0.106, 0.004) * (0.93 if child else 1)
    hip = height * dice.around(0.056 if woman else 0.051, 0.003)
    bust = dice.between(0.5, 1.2) if woman and not child else 0.0
    head = dice.around(0.9 if child else 0.96 if woman else 1.0, 0.035)
    return Build(height, bulk, shoulder, hip, bust, head)


@dataclass(frozen=True)
class Pose:
    """Angles in degrees, each [N]. Arms and legs: index 0 is on the side of rising x, index 1 left in the picture."""

    place: np.ndarray  # [N, 3] of the pelvis
    turn: np.ndarray  # of the whole body, 0 faces the camera
    lean: np.ndarray  # of the whole body towards the side
    bend: np.ndarray  # of the spine, forwards
    twist: np.ndarray  # of the chest against the pelvis
    tilt: np.ndarray  # of the chest to the side
    head_turn: np.ndarray
    head_nod: np.ndarray
    head_tilt: np.ndarray
    shrug: np.ndarray
    arm_out: tuple[np.ndarray, np.ndarray]  # away from the side
    arm_forward: tuple[np.ndarray, np.ndarray]
    arm_twist: tuple[np.ndarray, np.ndarray]  # turns the bent forearm inwards
    elbow: tuple[np.ndarray, np.ndarray]
    leg_out: tuple[np.ndarray, np.ndarray]
    leg_forward: tuple[np.ndarray, np.ndarray]
    knee: tuple[np.ndarray, np.ndarray]
    talk: np.ndarray  # 0..1, how far the mouth is open
    lids: np.ndarray  # 0..1, how far the eyes are open


# arm_out, arm_forward, arm_twist, elbow of each arm; (mean, spread) in degrees
_ARMS = {
    "hanging": ((8, 4), (0, 8), (10, 15), (12, 8)),
    "on the hip": ((42, 6), (-12, 6), (75, 10), (85, 10)),
    "across the chest": ((12, 5), (28, 8), (62, 10), (92, 10)),
    "raised": ((75, 20), (15, 20), (-60, 25), (95, 30)),
    "waving": ((35, 12), (25, 12), (-15, 15), (125, 15)),
    "pointing": ((25, 20), (70, 15), (0, 15), (20, 15)),
    "at the chin": ((12, 6), (42, 8), (28, 8), (138, 6)),
    "at the keyboard": ((12, 6), (30, 8), (15, 10), (62, 12)),
    "overhead": ((150, 15), (10, 15), (0, 30), (50, 30)),
    "behind the back": ((22, 5), (-28, 6), (110, 10), (55, 15)),
    "holding up": ((20, 8), (45, 12), (5, 12), (95, 15)),
}
_ARM_ODDS = {
    "hanging": 5,
    "on the hip": 1.2,
    "across the chest": 1.5,
    "raised": 0.8,
    "waving": 1,
    "pointing": 0.7,
    "at the chin": 0.8,
    "at the keyboard": 1.2,
    "overhead": 0.4,
    "behind the back": 0.8,
    "holding up": 1,
}
_STANCES = ("standing", "walking", "dancing", "sitting")


@dataclass
class Motion:
    """Draws smooth random curves over the moments of a clip. seconds: [N]."""

    dice: Dice
    seconds: np.ndarray
    activity: float = field(default=1.0)  # 0 still, 1 usual, 3 wild

    def sway(self, mean: float, spread: float, swing: float, rate: float = 0.4) -> np.ndarray:
        """A random constant near `mean`, with swings of about `swing` around it, about `rate` times per second."""
        curve = np.full(self.seconds.shape, self.dice.around(mean, spread / 2))
        for part in (1.0, 0.5, 0.25):
            frequency = self.dice.ratio(0.6, 1.6) * rate / part
            size = self.dice.between(0, part) * swing * self.activity
            curve += size * np.sin(2 * np.pi * (frequency * self.seconds + self.dice.between(0, 1)))
        return curve

    def pulses(self, rate: float, length: float) -> np.ndarray:
        """0, with smooth bumps to 1 of `length` seconds, about `rate` times per second."""
        period = self.dice.ratio(0.7, 1.4) / rate
        since = (self.seconds + self.dice.between(0, period)) % period
        return np.exp(-(((since - period / 2) / (0.5 * length)) ** 2))


def draw_pose(dice: Dice, build: Build, seconds: np.ndarray, close: bool) -> Pose:
    """How a person stands, sits, walks or dances during the clip. close: only the upper body is visible."""
    motion = Motion(dice, seconds, dice.one_of((0.15, 0.6, 1.0, 2.0), (2, 4, 4, 1)))
    stance = dice.one_of(_STANCES, (6, 1, 1, 3) if close else (5, 3, 1, 1))
    facing = dice.one_of((0.0, 25.0, 70.0, 180.0), (7, 4, 1, 0.15)) * dice.side()
    turn = motion.sway(facing, 16, 7, 0.15)
    if dice.happens(0.05):  # a full turn
        turn = turn + 360 * dice.between(0.1, 0.3) * dice.side() * seconds
    sides = (0, 1)
    arms = [dice.one_of(tuple(_ARMS), tuple(_ARM_ODDS.values())) for _ in sides]
    if dice.happens(0.45):
        arms[1] = arms[0]
    out, forward, twist, elbow = [], [], [], []
    for arm in arms:
        quick = 1.3 if arm == "waving" else 0.35
        swings = (5, 7, 28, 16) if arm == "waving" else (5, 7, 9, 9)
        rates = (0.35, 0.35, quick, quick)
        curves = [
            motion.sway(*numbers, swing, rate) for numbers, swing, rate in zip(_ARMS[arm], swings, rates, strict=True)
        ]
        for collected, curve in zip((out, forward, twist, elbow), curves, strict=True):
            collected.append(curve)
    leg_out = [motion.sway(5, 4, 2) for _ in sides]
    leg_forward = [motion.sway(0, 8, 2) for _ in sides]
    knee = [motion.sway(4, 4, 2) for _ in sides]
    place = np.stack(
        [motion.sway(0, 0.05, 0.03, 0.25), motion.sway(0, 0.03, 0.008, 0.4), motion.sway(0, 0.1, 0.02, 0.2)], 1
    )
    bend = motion.sway(4, 10, 3, 0.25)
    if stance in ("walking", "dancing"):
        pace = dice.ratio(0.7, 1.1) if stance == "walking" else dice.ratio(0.8, 1.8)
        phase = 2 * np.pi * (pace * seconds + dice.between(0, 1))
        stride = dice.between(14, 28)
        for side, sign in zip(sides, (1, -1), strict=True):
            leg_forward[side] = leg_forward[side] + sign * stride * np.sin(phase)
            knee[side] = knee[side] + stride * np.maximum(0, np.sin(phase + (1.2 if sign > 0 else 1.2 + np.pi))) * 1.4
            if arms[side] == "hanging":
                forward[side] = forward[side] - sign * stride * 0.9 * np.sin(phase)
                elbow[side] = elbow[side] + 8
        place[:, 1] += 0.02 * np.cos(2 * phase)
        place[:, 0] += dice.between(-0.5, 0.5) * (seconds - 1.0) * (stance == "walking")
        if stance == "dancing":
            place[:, 0] += 0.1 * np.sin(phase / 2)
            bend = bend + 8 * np.sin(phase)
    elif stance == "sitting":
        leg_forward = [curve + dice.between(75, 92) for curve in leg_forward]
        knee = [curve + dice.between(70, 95) for curve in knee]
        leg_out = [curve + dice.between(2, 14) for curve in leg_out]
        place[:, 1] -= 0.22 * build.height
    talk = np.zeros_like(seconds)
    if dice.happens(0.4):
        talk = np.clip(motion.sway(0.25, 0.3, 0.5, 3.0), 0, 1)
    return Pose(
        place,
        turn,
        motion.sway(0, 5, 2),
        bend,
        motion.sway(0, 12, 5, 0.3),
        motion.sway(0, 6, 3, 0.3),
        head_turn=motion.sway(0, 20, 14, 0.3) - 0.25 * np.clip(facing, -90, 90),
        head_nod=motion.sway(2, 9, 6, 0.5),
        head_tilt=motion.sway(0, 9, 5, 0.3),
        shrug=motion.sway(0, 0.012, 0.006),
        arm_out=(out[0], out[1]),
        arm_forward=(forward[0], forward[1]),
        arm_twist=(twist[0], twist[1]),
        elbow=(elbow[0], elbow[1]),
        leg_out=(leg_out[0], leg_out[1]),
        leg_forward=(leg_forward[0], leg_forward[1]),
        knee=(knee[0], knee[1]),
        talk=talk,
        lids=1 - motion.pulses(0.25, 0.16) * (1.0 if dice.happens(0.9) else 0.3),
    )


@dataclass(frozen=True)
class Limb:
    """Three joints, and the frames of the parts between and after them."""

    root: np.ndarray  # [N, 3] shoulder or hip
    middle: np.ndarray  # elbow or knee
    end: np.ndarray  # wrist or ankle
    last: Frame  # hand or foot: -y continues along the limb


@dataclass(frozen=True)
class Body:
    pelvis: Frame
    chest: Frame  # origin between the lungs
    neck: np.ndarray  # [N, 3] base of the neck
    head: Frame  # origin in the centre of the skull
    arms: tuple[Limb, Limb]
    legs: tuple[Limb, Limb]


def assemble(build: Build, pose: Pose) -> Body:
    """The position of every body part: forward kinematics from the pelvis outwards."""
    H = build.height  # noqa: N806
    root = _about_y(pose.turn) @ _about_z(pose.lean)
    pelvis = Frame(pose.place, root)
    waist = root @ _about_y(pose.twist * 0.4) @ _about_z(pose.tilt * 0.5) @ _about_x(pose.bend * 0.6)
    upper = waist @ _about_y(pose.twist * 0.6) @ _about_z(pose.tilt * 0.5) @ _about_x(pose.bend * 0.4)
    middle = pelvis.origin + waist @ np.array([0, 0.5 * build.trunk, 0])
    chest = Frame(middle + upper @ np.array([0, 0.18 * build.trunk, 0]), upper)
    neck = chest.at(0, 0.285 * build.trunk, -0.01)
    turn, nod = pose.head_turn, pose.head_nod
    half = upper @ _about_y(turn * 0.4) @ _about_x(nod * 0.4 - pose.bend * 0.4) @ _about_z(pose.head_tilt * 0.4)
    skull = half @ _about_y(turn * 0.6) @ _about_x(nod * 0.6 - pose.bend * 0.4) @ _about_z(pose.head_tilt * 0.6)
    joint = neck + half @ np.array([0, 0.050 * H, 0.012])
    head = Frame(joint + skull @ np.array([0, 0.088 * build.head, 0.018 * build.head]), skull)
    arms, legs = [], []
    for index, side in enumerate((1, -1)):
        shoulder = _shoulder(build, pose, chest, side, index)
        axes = upper @ _about_z(side * pose.arm_out[index]) @ _about_x(-pose.arm_forward[index])
        axes = axes @ _about_y(-side * pose.arm_twist[index])
        fore = axes @ _about_x(-pose.elbow[index])
        arms.append(_limb(shoulder, axes, fore, fore, 0.172 * H, 0.148 * H))
        hip = pelvis.at(side * build.hip, -0.02 * H, 0)
        thigh = root @ _about_z(side * pose.leg_out[index]) @ _about_x(-pose.leg_forward[index])
        shin = thigh @ _about_x(pose.knee[index])
        legs.append(_limb(hip, thigh, shin, shin @ _about_x(np.full_like(pose.turn, -80.0)), 0.245 * H, 0.235 * H))
    return Body(pelvis, chest, neck, head, (arms[0], arms[1]), (legs[0], legs[1]))


def _shoulder(build: Build, pose: Pose, chest: Frame, side: int, index: int) -> np.ndarray:
    """[N, 3]: a raised arm lifts its shoulder."""
    lift = 0.135 * build.trunk + pose.shrug + 0.00035 * build.height * np.maximum(0, pose.arm_out[index] - 40)
    local = np.stack([np.full_like(lift, side * build.shoulder), lift, np.full_like(lift, -0.01)], 1)
    return chest.origin + np.einsum("nij,nj->ni", chest.axes, local)


def _limb(
    root: np.ndarray, upper: np.ndarray, lower: np.ndarray, last: np.ndarray, first: float, second: float
) -> Limb:
    middle = root - first * upper[:, :, 1]
    end = middle - second * lower[:, :, 1]
    return Limb(root, middle, end, Frame(end, last))


def halfway(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The rotation [N, 3, 3] halfway between two others."""
    left, _, right = np.linalg.svd(first + second)
    return left @ right


def _about_x(degrees: np.ndarray) -> np.ndarray:
    cos, sin, zero, one = _parts(degrees)
    return _matrix((one, zero, zero), (zero, cos, -sin), (zero, sin, cos))


def _about_y(degrees: np.ndarray) -> np.ndarray:
    cos, sin, zero, one = _parts(degrees)
    return _matrix((cos, zero, sin), (zero, one, zero), (-sin, zero, cos))


def _about_z(degrees: np.ndarray) -> np.ndarray:
    cos, sin, zero, one = _parts(degrees)
    return _matrix((cos, -sin, zero), (sin, cos, zero), (zero, zero, one))


def _parts(degrees: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    angle = np.deg2rad(degrees)
    return np.cos(angle), np.sin(angle), np.zeros_like(angle), np.ones_like(angle)


def _matrix(*rows) -> np.ndarray:
    return np.stack([np.stack(row, -1) for row in rows], -2)

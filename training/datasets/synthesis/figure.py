"""A whole person: skeleton, body, clothes, head and hair as surfaces and strands, for all moments of a clip."""

# N moments

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .accessories import collar, extras, hair_under_hat, headwear
from .face import draw_face, head_surfaces, skin_material
from .hair import Hair, draw_style, grow_hair
from .palette import draw_hair_color, draw_skin, flat
from .randomness import Dice
from .skeleton import Body, Build, Limb, assemble, draw_build, draw_pose
from .surfaces import Cone, Ellipsoid, Material, Surface
from .wardrobe import Outfit, belted, chest_material, draw_outfit


@dataclass(frozen=True)
class Figure:
    body: Body
    build: Build
    surfaces: tuple[Surface, ...]
    hair: Hair


def draw_figure(dice: Dice, seconds: np.ndarray, close: bool, place: Sequence[float] = (0.0, 0.0, 0.0)) -> Figure:
    """A random person near `place` (metres). seconds: [N]. close: a close-up, in which the hands have fingers."""
    build = draw_build(dice)
    pose = draw_pose(dice, build, seconds, close)
    pose.place[:] += np.asarray(place)
    body = assemble(build, pose)
    skin_color, hair_color = draw_skin(dice), draw_hair_color(dice)
    outfit = draw_outfit(dice, build)
    face = draw_face(dice, build, skin_color, hair_color)
    skin = skin_material(skin_color)
    hair = grow_hair(dice, build, body, hair_color, draw_style(dice, build), seconds)
    surfaces = _trunk(outfit, build, body, skin)
    surfaces += [*_arms(dice, outfit, build, body, skin, close), *_legs(outfit, build, body, skin)]
    surfaces += head_surfaces(face, build, body.head, pose)
    surfaces += collar(dice, outfit, build, body)
    surfaces += extras(dice, outfit, build, body)
    covered = headwear(dice, outfit, build, body)
    if covered and outfit.hat in ("hood", "headscarf", "helmet"):
        hair = Hair(hair.style, hair.color, (), ())
    elif covered and outfit.hat != "headphones":
        kept = (
            tuple(s for s in hair.surfaces if hair.style in ("bob", "long", "ponytail")) if hair.style != "afro" else ()
        )
        hair = Hair(hair.style, hair.color, kept or hair_under_hat(hair, body, build), hair.strands[2:])
    return Figure(body, build, (*surfaces, *hair.surfaces, *covered), hair)


def _trunk(outfit: Outfit, build: Build, body: Body, skin: Material) -> list[Surface]:
    chest, pelvis, b = body.chest, body.pelvis, build.bulk
    front = chest_material(outfit, build, skin)
    t, loose, sh = build.trunk, outfit.loose, build.shoulder
    neck_top = body.head.at(0, -0.075 * build.head, -0.018 * build.head)
    neck = 0.054 * (0.9 + 0.1 * b) * (0.88 if build.bust else 1.0) * build.height / 1.71
    plate_y, depth = 0.095 * t, 0.080 * b + loose * 0.5
    bare_shoulder = skin if outfit.collar == "bare" else front
    surfaces: list[Surface] = [
        Cone(
            body.neck + (chest.axes @ np.array([0, -0.045, -0.005])),
            neck_top,
            (neck * 1.12, neck * 0.95),
            skin,
            join=0.02,
        ),
        Ellipsoid(chest, (0, -0.02 * t, 0.002), (0.88 * sh + loose, 0.33 * t, 0.108 * b + loose), front, join=0.02),
        Ellipsoid(
            chest,
            (0, -0.30 * t, 0.004),
            (0.76 * sh * (0.75 + 0.25 * b) + loose, 0.32 * t, 0.098 * b + loose),
            front,
            join=0.03,
        ),
        Ellipsoid(chest, (0, plate_y, -0.01), (1.02 * sh, 0.13 * t, depth), front, join=0.02),
        Ellipsoid(
            pelvis,
            (0, 0.03 * t, 0),
            (build.hip + 0.075 * b + loose, 0.26 * t, 0.108 * b + loose),
            belted(outfit),
            join=0.03,
        ),
    ]
    for arm, side in zip(body.arms, (1, -1), strict=True):
        root = chest.at(side * 0.024, 0.272 * t, -0.02)
        surfaces.append(
            Cone(
                root,
                arm.root + chest.axes @ np.array([0, 0.0, -0.008]),
                (0.034 * b + loose * 0.4, 0.052 * b + loose),
                bare_shoulder,
                depth=0.8,
                join=0.02,
            )
        )
        if build.bust:
            r = 0.060 * build.bust
            surfaces.append(
                Ellipsoid(chest, (side * 0.078, -0.02 * t, 0.062 * b), (r * 1.1, r * 1.1, r + loose), front, join=0.02)
            )
    return surfaces


def _arms(dice: Dice, outfit: Outfit, build: Build, body: Body, skin: Material, close: bool) -> list[Surface]:
    surfaces: list[Surface] = []
    b, loose = build.bulk * build.height / 1.71, outfit.loose
    sleeve: Material = outfit.sleeve_cloth
    short = outfit.sleeves == "short"
    reach = dice.between(0.45, 0.9)
    rolled = outfit.sleeves == "long" and dice.happens(0.15)
    hand = flat(outfit.gloves) if outfit.gloves is not None else skin
    for arm in body.arms:
        upper = sleeve if outfit.sleeves == "long" else skin
        lower = sleeve if outfit.sleeves == "long" and not rolled else skin
        up, low = (loose if m is sleeve else 0.0 for m in (upper, lower))
        surfaces.append(Cone(arm.root, arm.middle, (0.054 * b + up, 0.040 * b + up), upper, join=0.015))
        surfaces.append(Cone(arm.middle, arm.end, (0.041 * b + low, 0.028 * b + low * 1.2), lower, join=0.015))
        if short:
            hem = arm.root + (arm.middle - arm.root) * reach
            surfaces.append(Cone(arm.root, hem, (0.058 * b + loose, 0.052 * b + loose * 1.5), sleeve, join=0.006))
        elif rolled:
            cuff = arm.middle + (arm.end - arm.middle) * 0.25
            surfaces.append(Cone(arm.middle, cuff, (0.044 * b + loose, 0.044 * b + loose), sleeve, join=0.006))
        elif lower is sleeve:  # the cuff
            start = arm.middle + (arm.end - arm.middle) * 0.9
            surfaces.append(Cone(start, arm.end, (0.032 * b + loose, 0.032 * b + loose), sleeve, join=0.006))
        surfaces += _hand(dice, arm, build, hand, close)
    return surfaces


def _hand(dice: Dice, arm: Limb, build: Build, skin: Material, close: bool) -> list[Surface]:
    k = build.height / 1.71
    frame = arm.last
    surfaces: list[Surface] = [Ellipsoid(frame, (0, -0.045 * k, 0.0), (0.038 * k, 0.052 * k, 0.020 * k), skin)]
    curl = dice.between(0.1, 0.9)
    if not close:
        surfaces.append(Ellipsoid(frame, (0, -0.11 * k, 0.02 * curl * k), (0.030 * k, 0.042 * k, 0.016 * k), skin))
        return surfaces
    spread = dice.between(0.7, 1.3)
    for place, length in zip((-1.5, -0.5, 0.5, 1.5), (0.066, 0.078, 0.074, 0.058), strict=True):
        x = place * 0.0185 * k
        root = frame.at(x, -0.080 * k, 0)
        knuckle = frame.at(
            x * (1 + 0.25 * spread), (-0.080 - 0.5 * length * np.cos(curl)) * k, 0.5 * length * np.sin(curl) * k
        )
        tip = frame.at(
            x * (1 + 0.4 * spread),
            (-0.080 - 0.5 * length * (np.cos(curl) + np.cos(2 * curl))) * k,
            0.5 * length * (np.sin(curl) + np.sin(2 * curl)) * k,
        )
        surfaces.append(Cone(root, knuckle, (0.0098 * k, 0.0088 * k), skin, join=0.004))
        surfaces.append(Cone(knuckle, tip, (0.0088 * k, 0.0070 * k), skin, join=0.004))
    surfaces.append(
        Cone(
            frame.at(0.026 * k, -0.03 * k, 0.005),
            frame.at(0.058 * k, -0.085 * k, 0.022 * k),
            (0.013 * k, 0.009 * k),
            skin,
            join=0.008,
        )
    )
    return surfaces


def _legs(outfit: Outfit, build: Build, body: Body, skin: Material) -> list[Surface]:
    surfaces: list[Surface] = []
    b = build.bulk * build.height / 1.71
    cloth: Material = outfit.leg_cloth
    bare = outfit.legs in ("shorts", "skirt", "dress")
    for leg in body.legs:
        thigh = skin if bare else cloth
        shin = skin if bare else cloth
        loose = 0.004 if bare else 0.012
        surfaces.append(Cone(leg.root, leg.middle, (0.082 * b + loose, 0.056 * b + loose), thigh, join=0.02))
        surfaces.append(Cone(leg.middle, leg.end, (0.056 * b + loose, 0.038 * b + loose * 1.5), shin, join=0.02))
        if outfit.legs == "shorts":
            hem = leg.root + (leg.middle - leg.root) * 0.75
            surfaces.append(Cone(leg.root, hem, (0.092 * b, 0.080 * b), cloth, join=0.006))
        surfaces.append(
            Ellipsoid(
                leg.last,
                (0, -0.055 * b, -0.012),
                (0.046 * b, 0.125 * b, 0.040 * b),
                flat(outfit.shoe, 0.15),
                join=0.006,
            )
        )
    if outfit.legs in ("skirt", "dress"):
        knees = [leg.root + (leg.middle - leg.root) * (0.85 if outfit.legs == "skirt" else 1.1) for leg in body.legs]
        middle = (knees[0] + knees[1]) / 2
        waist = body.pelvis.at(0, 0.02, 0)
        surfaces.append(Cone(waist, middle, (build.hip + 0.06 * b, build.hip + 0.13 * b), cloth, depth=0.8, join=0.01))
    elif outfit.kind == "coat":
        for leg in body.legs:
            hem = leg.root + (leg.middle - leg.root) * 0.9
            surfaces.append(Cone(leg.root, hem, (0.115 * b, 0.125 * b), outfit.cloth, depth=0.95, join=0.02))
    return surfaces

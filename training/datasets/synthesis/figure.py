"""A whole person: skeleton, flesh, clothes, head and hair as surfaces and strands, for all moments of a clip."""

# N moments

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .face import draw_face, head_surfaces, skin_material
from .hair import Hair, draw_style, grow_hair, hair_material, rough_edge
from .palette import draw_hair_color, draw_skin, flat
from .randomness import Dice
from .skeleton import Body, Build, Limb, Pose, assemble, draw_build, draw_pose
from .surfaces import Cone, Ellipsoid, Frame, Look, Material, Patch, Surface
from .wardrobe import Outfit, belted, chest_material, draw_outfit


@dataclass(frozen=True)
class Figure:
    body: Body
    build: Build
    surfaces: tuple[Surface, ...]
    hair: Hair


def draw_figure(dice: Dice, seconds: np.ndarray, close: bool, place: Sequence[float] = (0.0, 0.0, 0.0)) -> Figure:
    """A random person about `place` (metres). seconds: [N]. close: shown from near, so with hands and face in detail."""
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
    surfaces += _collar(dice, outfit, build, body)
    surfaces += _extras(dice, outfit, build, body)
    covered = _headwear(dice, outfit, build, body)
    if covered and outfit.hat in ("hood", "headscarf", "helmet"):
        hair = Hair(hair.style, hair.color, (), ())
    elif covered and outfit.hat != "headphones":
        kept = tuple(s for s in hair.surfaces if hair.style in ("bob", "long", "ponytail")) if hair.style != "afro" else ()
        hair = Hair(hair.style, hair.color, kept or _under_hat(hair, body, build), hair.strands[2:])
    return Figure(body, build, (*surfaces, *hair.surfaces, *covered), hair)


def _trunk(outfit: Outfit, build: Build, body: Body, skin: Material) -> list[Surface]:
    chest, pelvis, b = body.chest, body.pelvis, build.bulk
    front = chest_material(outfit, build, skin)
    t, loose, sh = build.trunk, outfit.loose, build.shoulder
    neck_top = body.head.at(0, -0.075 * build.head, -0.018 * build.head)
    neck = 0.054 * (0.9 + 0.1 * b) * (0.88 if build.bust else 1.0) * build.height / 1.71
    plate_y, depth = 0.135 * t, 0.078 * b + loose * 0.5
    bare_shoulder = skin if outfit.collar == "bare" else front
    surfaces: list[Surface] = [
        Cone(body.neck + (chest.axes @ np.array([0, -0.045, -0.005])), neck_top, (neck * 1.12, neck * 0.95), skin, join=0.02),
        Ellipsoid(chest, (0, -0.02 * t, 0.002), (0.80 * sh + loose, 0.34 * t, 0.108 * b + loose), front, join=0.02),
        Ellipsoid(chest, (0, -0.30 * t, 0.004), (0.66 * sh * (0.8 + 0.25 * b) + loose, 0.30 * t, 0.098 * b + loose), front, join=0.03),
        Ellipsoid(chest, (0, plate_y, -0.01), (0.98 * sh, 0.13 * t, depth), front, join=0.02),
        Ellipsoid(pelvis, (0, 0.03 * t, 0), (build.hip + 0.075 * b + loose, 0.26 * t, 0.108 * b + loose), belted(outfit), join=0.03),
    ]
    for arm, side in zip(body.arms, (1, -1), strict=True):
        root = chest.at(side * 0.03, 0.275 * t, -0.025)
        surfaces.append(Cone(root, arm.root + chest.axes @ np.array([0, 0.008, -0.008]), (0.042 * b + loose * 0.4, 0.056 * b + loose), bare_shoulder, depth=0.8, join=0.02))
        if build.bust:
            r = 0.060 * build.bust
            surfaces.append(Ellipsoid(chest, (side * 0.078, -0.02 * t, 0.062 * b), (r * 1.1, r * 1.1, r + loose), front, join=0.02))
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
        knuckle = frame.at(x * (1 + 0.25 * spread), (-0.080 - 0.5 * length * np.cos(curl)) * k, 0.5 * length * np.sin(curl) * k)
        tip = frame.at(
            x * (1 + 0.4 * spread),
            (-0.080 - 0.5 * length * (np.cos(curl) + np.cos(2 * curl))) * k,
            0.5 * length * (np.sin(curl) + np.sin(2 * curl)) * k,
        )
        surfaces.append(Cone(root, knuckle, (0.0098 * k, 0.0088 * k), skin, join=0.004))
        surfaces.append(Cone(knuckle, tip, (0.0088 * k, 0.0070 * k), skin, join=0.004))
    surfaces.append(Cone(frame.at(0.026 * k, -0.03 * k, 0.005), frame.at(0.058 * k, -0.085 * k, 0.022 * k), (0.013 * k, 0.009 * k), skin, join=0.008))
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
        surfaces.append(Ellipsoid(leg.last, (0, -0.055 * b, -0.012), (0.046 * b, 0.125 * b, 0.040 * b), flat(outfit.shoe, 0.15), join=0.006))
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


def _collar(dice: Dice, outfit: Outfit, build: Build, body: Body) -> list[Surface]:
    chest, t, k = body.chest, build.trunk, build.height / 1.71
    top = 0.30 * t
    cloth = outfit.collar_cloth
    if outfit.collar == "turtle":
        return [Cone(chest.at(0, top - 0.03, -0.006), chest.at(0, top + dice.between(0.02, 0.05), 0.0), (0.075 * k, 0.066 * k), cloth, join=0.01)]
    if outfit.collar == "shirt":
        surfaces: list[Surface] = [Cone(chest.at(0, top - 0.02, -0.016), chest.at(0, top + 0.026, -0.012), (0.070 * k, 0.066 * k), cloth, join=0.006)]
        for side in (1, -1):
            start, end = chest.at(side * 0.052, top + 0.014, 0.04), chest.at(side * 0.032, top - 0.052, 0.098)
            surfaces.append(Cone(start, end, (0.016 * k, 0.012 * k), cloth, depth=0.5, join=0.004))
        return surfaces
    if outfit.collar == "hood":
        return [Ellipsoid(chest, (0, top - 0.015, -0.055), (0.125, 0.062, 0.075), cloth, join=0.01), *_drape(chest, top, cloth, 0.022)]
    if outfit.collar == "fur":
        edge = rough_edge(0.008, True)
        ring = _drape(chest, top, hair_material(dice.rng.uniform(0.15, 0.8) * np.array([1.0, 0.9, 0.8]), True), 0.036)
        return [Cone(s.start, s.end, s.radii, s.material, edge, join=0.01) for s in ring if isinstance(s, Cone)]
    if outfit.collar == "ring":
        metal = flat(np.array([0.25, 0.26, 0.30]) * dice.between(0.5, 2.5), 0.8)
        return _ring(chest, top - 0.02, dice.between(0.115, 0.14), 0.016, metal)
    return []


def _ring(chest: Frame, y: float, radius: float, thick: float, material: Material) -> list[Surface]:
    """A ring about the neck, lower in front."""
    angles = np.linspace(0, 2 * np.pi, 13)
    points = [chest.at(radius * np.sin(a), y - 0.045 * np.cos(a), radius * 0.85 * np.cos(a) + 0.015) for a in angles]
    return [Cone(p, q, (thick, thick), material, join=0.004) for p, q in zip(points, points[1:], strict=False)]


def _drape(chest: Frame, y: float, material: Material, thick: float) -> list[Surface]:
    """Cloth laid from the neck's sides to the middle of the chest."""
    surfaces: list[Surface] = []
    for side in (1, -1):
        points = [chest.at(side * x, y + dy, z) for x, dy, z in ((0.02, 0.015, -0.07), (0.085, 0.012, -0.01), (0.062, -0.045, 0.075), (0.012, -0.085, 0.11))]
        surfaces += [Cone(p, q, (thick, thick), material, join=0.01) for p, q in zip(points, points[1:], strict=False)]
    return surfaces


def _extras(dice: Dice, outfit: Outfit, build: Build, body: Body) -> list[Surface]:
    chest, top = body.chest, 0.30 * build.trunk
    surfaces: list[Surface] = []
    if outfit.scarf is not None:
        surfaces += _drape(chest, top + 0.02, outfit.scarf, 0.036)
        side = dice.side() * 0.05
        surfaces.append(Cone(chest.at(side, top - 0.05, 0.12), chest.at(side * 1.4, top - dice.between(0.2, 0.4), 0.12), (0.04, 0.05), outfit.scarf, depth=0.4, join=0.006))
    if outfit.straps is not None and dice.happens(0.7):
        surfaces.append(Ellipsoid(chest, (0, -0.06, -0.17), (0.17, 0.24, 0.09), flat(outfit.straps * 0.9), join=0.006))
    if outfit.bag:
        color = flat(outfit.print_color, 0.1)
        side = dice.side()
        low = body.pelvis.at(side * (build.hip + 0.13), -0.05, 0.03)
        surfaces.append(Cone(low, low + np.array([0, -0.12, 0.0]), (0.09, 0.10), color, depth=0.6, join=0.004))
        surfaces.append(Cone(chest.at(-side * 0.09, top - 0.03, 0.03), chest.at(0, -0.1, 0.135), (0.014, 0.014), color, depth=0.6, join=0.004))
        surfaces.append(Cone(chest.at(0, -0.1, 0.135), low, (0.014, 0.014), color, depth=0.6, join=0.004))
    if dice.happens(0.08):  # something in a hand
        frame = body.arms[dice.whole(0, 1)].last
        thing = dice.one_of(("phone", "cup", "ball", "book"))
        color = flat(outfit.print_color, 0.3)
        if thing == "phone":
            surfaces.append(Ellipsoid(frame, (0, -0.09, 0.035), (0.042, 0.085, 0.009), flat(np.array([0.05, 0.05, 0.06]), 0.7), join=0.003))
        elif thing == "cup":
            place = frame.at(0, -0.08, 0.045)
            surfaces.append(Cone(place - np.array([0, 0.03, 0]), place + np.array([0, 0.06, 0]), (0.036, 0.043), color, join=0.003))
        elif thing == "ball":
            r = dice.between(0.04, 0.12)
            surfaces.append(Ellipsoid(frame, (0, -0.1, r), (r, r, r), outfit.hat_cloth, join=0.003))
        else:
            surfaces.append(Ellipsoid(frame, (0, -0.12, 0.03), (0.10, 0.13, 0.014), outfit.hat_cloth, join=0.003))
    return surfaces


def _headwear(dice: Dice, outfit: Outfit, build: Build, body: Body) -> tuple[Surface, ...]:
    head, k, hat = body.head, build.head, outfit.hat
    cloth = outfit.hat_cloth
    if hat is None:
        return ()
    if hat == "headphones":
        dark = flat(outfit.print_color * 0.5, 0.4)
        angles = np.linspace(0, np.pi, 9)
        band = [head.at(0.088 * k * np.cos(a), (0.02 + 0.112 * np.sin(a)) * k, -0.005 * k) for a in angles]
        cups = [Ellipsoid(head, (side * 0.084 * k, -0.005 * k, 0.0), (0.022 * k, 0.042 * k, 0.036 * k), dark, join=0.003) for side in (1, -1)]
        return (*(Cone(p, q, (0.010 * k, 0.010 * k), dark, join=0.003) for p, q in zip(band, band[1:], strict=False)), *cups)
    if hat in ("cap", "beanie", "helmet"):
        low = {"cap": 0.052, "beanie": 0.042, "helmet": 0.045}[hat] + dice.around(0, 0.006)
        size = {"cap": 1.10, "beanie": 1.14, "helmet": 1.30}[hat]
        material = flat(outfit.print_color, 0.7) if hat == "helmet" else cloth
        crown = Ellipsoid(head, (0, 0.028 * k, -0.010 * k), (0.076 * size * k, 0.100 * size * k, 0.096 * size * k), _above(material, low * k, 0.5), join=0.003)
        if hat != "cap":
            bobble = (0, (0.028 + 0.1 * size) * k, -0.01 * k)
            more = hat == "beanie" and dice.happens(0.35)
            return (crown, Ellipsoid(head, bobble, (0.03 * k, 0.03 * k, 0.03 * k), cloth, rough_edge(0.008, True), join=0.004)) if more else (crown,)
        return crown, Ellipsoid(head, (0, (low + 0.006) * k, 0.105 * k), (0.072 * k, 0.010 * k, 0.068 * k), cloth, join=0.003)
    if hat == "brim":
        wide = dice.between(0.12, 0.19) * k
        crown = Cone(head.at(0, 0.07 * k, -0.01 * k), head.at(0, 0.135 * k, -0.01 * k), (0.088 * k, 0.066 * k), cloth, join=0.003)
        return Ellipsoid(head, (0, 0.06 * k, -0.005 * k), (wide, 0.014 * k, wide), cloth, join=0.003), crown
    # hood and headscarf: a shell with a hole for the face, and cloth about the neck
    size = 1.28 if hat == "hood" else 1.12
    shell = Ellipsoid(head, (0, 0.005 * k, -0.018 * k), (0.080 * size * k, 0.122 * size * k, 0.100 * size * k), _opening(cloth, k), join=0.003)
    neck = Cone(head.at(0, -0.105 * k, -0.01 * k), body.chest.at(0, 0.24 * build.trunk, 0.01), (0.078 * k, 0.105 * k), cloth, join=0.006)
    return shell, neck


def _under_hat(hair: Hair, body: Body, build: Build) -> tuple[Surface, ...]:
    """Short hair at temples and neck."""
    if hair.style == "bald":
        return ()
    k = build.head
    return (Ellipsoid(body.head, (0, 0.010 * k, -0.022 * k), (0.077 * k, 0.085 * k, 0.088 * k), hair_material(hair.color), join=0.004),)


def _above(material: Material, low: float, slope: float) -> Material:
    """Only what lies above a plane that rises to the front."""

    def look(patch: Patch) -> Look:
        found = material(patch)
        y, z = patch.place[:, 1], patch.place[:, 2]
        cover = ((y - low - slope * (z - 0.06)) / max(patch.pixel, 0.001) + 0.5).clamp(0, 1)
        return Look(found.albedo, found.bump, found.gloss, cover[:, None])

    return look


def _opening(material: Material, k: float) -> Material:
    """All but a hole for the face."""

    def look(patch: Patch) -> Look:
        found = material(patch)
        x, y, z = (patch.place / k).unbind(1)
        away = ((x / 0.064).square() + ((y + 0.012) / 0.098).square()).sqrt()
        cover = ((away - 1) * 0.07 / max(patch.pixel / k, 0.001) + 0.5).clamp(0, 1)
        cover = cover.where(z > 0, cover.new_ones(()))
        return Look(found.albedo, found.bump, found.gloss, cover[:, None])

    return look

"""Collars, scarves, bags, objects in hands, hats, hoods and headphones."""

# N moments

import itertools

import numpy as np

from .hair import Hair, hair_material, rough_edge
from .palette import flat
from .randomness import Dice
from .skeleton import Body, Build
from .surfaces import Cone, Ellipsoid, Frame, Look, Material, Patch, Surface
from .wardrobe import Outfit


def collar(dice: Dice, outfit: Outfit, build: Build, body: Body) -> list[Surface]:
    chest, t, k = body.chest, build.trunk, build.height / 1.71
    top = 0.285 * t
    cloth = outfit.collar_cloth
    if outfit.collar == "turtle":
        return [
            Cone(
                chest.at(0, top - 0.03, -0.006),
                chest.at(0, top + dice.between(0.02, 0.05), 0.0),
                (0.075 * k, 0.066 * k),
                cloth,
                join=0.01,
            )
        ]
    if outfit.collar == "shirt":
        surfaces: list[Surface] = [
            Cone(
                chest.at(0, top - 0.02, -0.016),
                chest.at(0, top + 0.026, -0.012),
                (0.070 * k, 0.066 * k),
                cloth,
                join=0.006,
            )
        ]
        for side in (1, -1):
            start, end = chest.at(side * 0.052, top + 0.014, 0.04), chest.at(side * 0.032, top - 0.052, 0.098)
            surfaces.append(Cone(start, end, (0.016 * k, 0.012 * k), cloth, depth=0.5, join=0.004))
        return surfaces
    if outfit.collar == "hood":
        return [
            Ellipsoid(chest, (0, top - 0.015, -0.055), (0.125, 0.062, 0.075), cloth, join=0.01),
            *_drape(chest, top, cloth, 0.022),
        ]
    if outfit.collar == "fur":
        edge = rough_edge(0.008, True)
        ring = _drape(chest, top, hair_material(dice.rng.uniform(0.15, 0.8) * np.array([1.0, 0.9, 0.8]), True), 0.036)
        return [
            Cone(s.start, s.end, s.radii, s.material, edge, join=0.01, soft=0.012) for s in ring if isinstance(s, Cone)
        ]
    if outfit.collar == "ring":
        metal = flat(np.array([0.25, 0.26, 0.30]) * dice.between(0.5, 2.5), 0.8)
        return _ring(chest, top - 0.02, dice.between(0.115, 0.14), 0.016, metal)
    return []


def _ring(chest: Frame, y: float, radius: float, thick: float, material: Material) -> list[Surface]:
    """A ring around the neck, lower in front."""
    angles = np.linspace(0, 2 * np.pi, 13)
    points = [chest.at(radius * np.sin(a), y - 0.045 * np.cos(a), radius * 0.85 * np.cos(a) + 0.015) for a in angles]
    return [Cone(p, q, (thick, thick), material, join=0.004) for p, q in itertools.pairwise(points)]


def _drape(chest: Frame, y: float, material: Material, thick: float) -> list[Surface]:
    """Cloth from the sides of the neck to the middle of the chest."""
    surfaces: list[Surface] = []
    for side in (1, -1):
        points = [
            chest.at(side * x, y + dy, z)
            for x, dy, z in ((0.02, 0.015, -0.07), (0.085, 0.012, -0.01), (0.062, -0.045, 0.075), (0.012, -0.085, 0.11))
        ]
        surfaces += [Cone(p, q, (thick, thick), material, join=0.01) for p, q in itertools.pairwise(points)]
    return surfaces


def extras(dice: Dice, outfit: Outfit, build: Build, body: Body) -> list[Surface]:
    chest, top = body.chest, 0.285 * build.trunk
    surfaces: list[Surface] = []
    if outfit.scarf is not None:
        surfaces += _drape(chest, top + 0.02, outfit.scarf, 0.036)
        side = dice.side() * 0.05
        surfaces.append(
            Cone(
                chest.at(side, top - 0.05, 0.12),
                chest.at(side * 1.4, top - dice.between(0.2, 0.4), 0.12),
                (0.04, 0.05),
                outfit.scarf,
                depth=0.4,
                join=0.006,
            )
        )
    if outfit.straps is not None and dice.happens(0.7):
        surfaces.append(Ellipsoid(chest, (0, -0.06, -0.17), (0.17, 0.24, 0.09), flat(outfit.straps * 0.9), join=0.006))
    if outfit.bag:
        color = flat(outfit.print_color, 0.1)
        side = dice.side()
        low = body.pelvis.at(side * (build.hip + 0.13), -0.05, 0.03)
        surfaces.append(Cone(low, low + np.array([0, -0.12, 0.0]), (0.09, 0.10), color, depth=0.6, join=0.004))
        surfaces.append(
            Cone(
                chest.at(-side * 0.09, top - 0.03, 0.03),
                chest.at(0, -0.1, 0.135),
                (0.014, 0.014),
                color,
                depth=0.6,
                join=0.004,
            )
        )
        surfaces.append(Cone(chest.at(0, -0.1, 0.135), low, (0.014, 0.014), color, depth=0.6, join=0.004))
    if dice.happens(0.08):  # an object in a hand
        frame = body.arms[dice.whole(0, 1)].last
        thing = dice.one_of(("phone", "cup", "ball", "book"))
        color = flat(outfit.print_color, 0.3)
        if thing == "phone":
            surfaces.append(
                Ellipsoid(
                    frame, (0, -0.09, 0.035), (0.042, 0.085, 0.009), flat(np.array([0.05, 0.05, 0.06]), 0.7), join=0.003
                )
            )
        elif thing == "cup":
            place = frame.at(0, -0.08, 0.045)
            surfaces.append(
                Cone(place - np.array([0, 0.03, 0]), place + np.array([0, 0.06, 0]), (0.036, 0.043), color, join=0.003)
            )
        elif thing == "ball":
            r = dice.between(0.04, 0.12)
            surfaces.append(Ellipsoid(frame, (0, -0.1, r), (r, r, r), outfit.hat_cloth, join=0.003))
        else:
            surfaces.append(Ellipsoid(frame, (0, -0.12, 0.03), (0.10, 0.13, 0.014), outfit.hat_cloth, join=0.003))
    return surfaces


def headwear(dice: Dice, outfit: Outfit, build: Build, body: Body) -> tuple[Surface, ...]:
    head, k, hat = body.head, build.head, outfit.hat
    cloth = outfit.hat_cloth
    if hat is None:
        return ()
    if hat == "headphones":
        dark = flat(outfit.print_color * 0.5, 0.4)
        angles = np.linspace(0, np.pi, 9)
        band = [head.at(0.088 * k * np.cos(a), (0.02 + 0.112 * np.sin(a)) * k, -0.005 * k) for a in angles]
        cups = [
            Ellipsoid(head, (side * 0.084 * k, -0.005 * k, 0.0), (0.022 * k, 0.042 * k, 0.036 * k), dark, join=0.003)
            for side in (1, -1)
        ]
        return (
            *(Cone(p, q, (0.010 * k, 0.010 * k), dark, join=0.003) for p, q in itertools.pairwise(band)),
            *cups,
        )
    if hat in ("cap", "beanie", "helmet"):
        low = {"cap": 0.052, "beanie": 0.042, "helmet": 0.045}[hat] + dice.around(0, 0.006)
        size = {"cap": 1.10, "beanie": 1.14, "helmet": 1.30}[hat]
        material = flat(outfit.print_color, 0.7) if hat == "helmet" else cloth
        crown = Ellipsoid(
            head,
            (0, 0.028 * k, -0.010 * k),
            (0.076 * size * k, 0.100 * size * k, 0.096 * size * k),
            _above(material, low * k, 0.5),
            join=0.003,
        )
        if hat != "cap":
            bobble = (0, (0.028 + 0.1 * size) * k, -0.01 * k)
            more = hat == "beanie" and dice.happens(0.35)
            return (
                (
                    crown,
                    Ellipsoid(head, bobble, (0.03 * k, 0.03 * k, 0.03 * k), cloth, rough_edge(0.008, True), join=0.004),
                )
                if more
                else (crown,)
            )
        return crown, Ellipsoid(
            head, (0, (low + 0.006) * k, 0.105 * k), (0.072 * k, 0.010 * k, 0.068 * k), cloth, join=0.003
        )
    if hat == "brim":
        wide = dice.between(0.12, 0.19) * k
        crown = Cone(
            head.at(0, 0.07 * k, -0.01 * k), head.at(0, 0.135 * k, -0.01 * k), (0.088 * k, 0.066 * k), cloth, join=0.003
        )
        return Ellipsoid(head, (0, 0.06 * k, -0.005 * k), (wide, 0.014 * k, wide), cloth, join=0.003), crown
    # hood and headscarf: a shell with a hole for the face, and cloth around the neck
    size = 1.28 if hat == "hood" else 1.12
    shell = Ellipsoid(
        head,
        (0, 0.005 * k, -0.018 * k),
        (0.080 * size * k, 0.122 * size * k, 0.100 * size * k),
        _opening(cloth, k),
        join=0.003,
    )
    neck = Cone(
        head.at(0, -0.105 * k, -0.01 * k),
        body.chest.at(0, 0.24 * build.trunk, 0.01),
        (0.078 * k, 0.105 * k),
        cloth,
        join=0.006,
    )
    # what is visible between the rim of the cloth and the face
    inner = Ellipsoid(
        head,
        (0, 0.005 * k, -0.034 * k),
        (0.078 * size * k, 0.119 * size * k, 0.086 * size * k),
        flat(np.array([0.1, 0.09, 0.09])),
    )
    return inner, shell, neck


def hair_under_hat(hair: Hair, body: Body, build: Build) -> tuple[Surface, ...]:
    """Short hair at temples and neck."""
    if hair.style == "bald":
        return ()
    k = build.head
    return (
        Ellipsoid(
            body.head,
            (0, 0.010 * k, -0.022 * k),
            (0.077 * k, 0.085 * k, 0.088 * k),
            hair_material(hair.color),
            join=0.004,
        ),
    )


def _above(material: Material, low: float, slope: float) -> Material:
    """Keeps only the part above a plane that rises to the front."""

    def look(patch: Patch) -> Look:
        found = material(patch)
        y, z = patch.place[:, 1], patch.place[:, 2]
        cover = ((y - low - slope * (z - 0.06)) / max(patch.pixel, 0.001) + 0.5).clamp(0, 1)
        return Look(found.albedo, found.bump, found.gloss, cover[:, None])

    return look


def _opening(material: Material, k: float) -> Material:
    """Keeps everything except a hole for the face."""

    def look(patch: Patch) -> Look:
        found = material(patch)
        x, y, z = (patch.place / k).unbind(1)
        away = ((x / 0.064).square() + ((y + 0.012) / 0.098).square()).sqrt()
        cover = ((away - 1) * 0.07 / max(patch.pixel / k, 0.001) + 0.5).clamp(0, 1)
        cover = cover.where(z > 0, cover.new_ones(()))
        return Look(found.albedo, found.bump, found.gloss, cover[:, None])

    return look

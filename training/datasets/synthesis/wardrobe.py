"""What a person wears: the cloth of each body part, and seams, prints and openings on the chest."""

# n, h, w; chest coordinates: metres, origin between the lungs, x right, y up, z to the front

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .noise import look_up, tile_tensors
from .palette import Cloth, draw_cloth, draw_color
from .randomness import Dice
from .skeleton import Build
from .surfaces import Look, Material, Patch

KINDS = {
    "t-shirt": 3.0,
    "shirt": 2.5,
    "jumper": 2.5,
    "suit": 2.0,
    "jacket": 1.5,
    "vest": 0.8,
    "top": 1.0,
    "dress": 1.2,
    "coat": 1.0,
    "overall": 1.0,
}
_SLEEVES = {"t-shirt": "short", "vest": "none", "top": "none"}
_COLLARS = {
    "t-shirt": ("crew", "v"),
    "shirt": ("shirt",),
    "jumper": ("crew", "turtle", "hood", "v"),
    "suit": ("shirt",),
    "jacket": ("crew", "shirt", "hood", "turtle"),
    "vest": ("scoop", "v"),
    "top": ("scoop", "bare"),
    "dress": ("scoop", "v", "bare", "crew"),
    "coat": ("turtle", "shirt", "fur"),
    "overall": ("crew", "ring", "turtle", "shirt"),
}


@dataclass(frozen=True)
class Outfit:
    kind: str
    cloth: Cloth  # of the trunk
    sleeve_cloth: Cloth
    sleeves: str  # "long", "short", "none"
    loose: float  # how much thicker than the body, metres
    collar: str
    collar_cloth: Cloth
    inner: Cloth  # visible where a jacket is open
    opening: float  # width of the open jacket at the waist; below 0: a V that closes
    tie: np.ndarray | None
    legs: str  # "trousers", "shorts", "skirt", "dress"
    leg_cloth: Cloth
    shoe: np.ndarray
    belt: np.ndarray | None
    print_: str | None  # "patch", "disc", "picture", "zip", "buttons"
    print_color: np.ndarray
    print_place: tuple[float, float, float]  # x, y, size
    straps: np.ndarray | None
    necklace: bool
    hat: str | None
    hat_cloth: Cloth
    scarf: Cloth | None
    bag: bool
    gloves: np.ndarray | None


def draw_outfit(dice: Dice, build: Build) -> Outfit:
    woman = build.bust > 0
    odds = [weight * (0.03 if not woman and kind in ("top", "dress") else 1) for kind, weight in KINDS.items()]
    kind = dice.one_of(tuple(KINDS), odds)
    cloth = draw_cloth(dice)
    if kind == "suit":
        cloth = draw_cloth(dice, draw_color(dice, 0.85), dice.one_of(("plain", "mottled", "stripes"), (4, 2, 1)))
    elif kind == "overall":
        cloth = draw_cloth(dice, draw_color(dice, 0.15), "plain", dice.between(0.3, 0.7))
    sleeves = _SLEEVES.get(kind, "long")
    if kind == "dress":
        sleeves = dice.one_of(("none", "short", "long"))
    elif kind == "shirt" and dice.happens(0.3):
        sleeves = "short"
    pale = np.array([0.9, 0.9, 0.92]) * dice.between(0.8, 1.05)
    inner = draw_cloth(
        dice, pale.clip(0, 1) if dice.happens(0.6) else None, None if dice.happens(0.3) else "plain", 0.15
    )
    open_kind = kind in ("suit", "jacket", "coat") and dice.happens(0.8 if kind == "suit" else 0.55)
    legs = "dress" if kind == "dress" else dice.one_of(("trousers", "shorts", "skirt"), (7, 1.5, 1.5 if woman else 0.1))
    if kind == "overall":
        legs = "trousers"
    leg_cloth = (
        cloth
        if kind in ("dress", "overall") or (kind == "suit" and dice.happens(0.8))
        else draw_cloth(dice, draw_color(dice, 0.6))
    )
    printed = dice.one_of((None, "patch", "disc", "picture"), (5, 1.2, 1, 1.5))
    if kind in ("jacket", "overall") and dice.happens(0.5):
        printed = "zip"
    if kind in ("shirt", "coat"):
        printed = dice.one_of(("buttons", None), (4, 1))
    centred = printed in ("picture", "zip", "buttons")
    return Outfit(
        kind=kind,
        cloth=cloth,
        sleeve_cloth=cloth if kind in ("suit", "coat", "overall", "dress") or dice.happens(0.85) else draw_cloth(dice),
        sleeves=sleeves,
        loose={"coat": 0.022, "jacket": 0.018, "overall": 0.022, "jumper": 0.014, "suit": 0.014}.get(kind, 0.006)
        * dice.between(0.6, 1.6),
        collar=dice.one_of(_COLLARS[kind]),
        collar_cloth=inner if kind == "suit" else cloth if dice.happens(0.7) else draw_cloth(dice),
        inner=inner,
        opening=(-1.0 if kind == "suit" and dice.happens(0.7) else dice.between(0.02, 0.12)) if open_kind else 0.0,
        tie=draw_color(dice, 0.2) if kind == "suit" and not woman and dice.happens(0.7) else None,
        legs=legs,
        leg_cloth=leg_cloth,
        shoe=draw_color(dice, 0.8),
        belt=draw_color(dice, 0.7) * 0.5 if dice.happens(0.35) else None,
        print_=printed,
        print_color=draw_color(dice, 0.3),
        print_place=(
            0.0 if centred else dice.side() * dice.between(0.04, 0.09),
            dice.between(-0.08, 0.0) if printed == "picture" else dice.between(-0.05, 0.06),
            dice.between(0.06, 0.13) if printed == "picture" else dice.between(0.018, 0.05),
        ),
        straps=draw_color(dice, 0.5) if dice.happens(0.12) else None,
        necklace=woman and dice.happens(0.2),
        hat=dice.one_of(
            (None, "cap", "beanie", "brim", "hood", "headscarf", "helmet", "headphones"),
            (20, 1.3, 1.2, 0.7, 0.7, 0.8, 0.4, 0.9),
        ),
        hat_cloth=draw_cloth(dice, folds=0.2),
        scarf=draw_cloth(dice, folds=0.5) if dice.happens(0.07) else None,
        bag=dice.happens(0.06),
        gloves=draw_color(dice, 0.6) if dice.happens(0.04) else None,
    )


def chest_material(outfit: Outfit, build: Build, skin: Material) -> Material:
    """The cloth of the trunk with everything on it, in chest coordinates; skin where the neck is bare."""
    top = 0.285 * build.trunk  # the base of the neck

    def look(patch: Patch) -> Look:
        cloth = outfit.cloth(patch)
        albedo, bump, gloss = cloth.albedo, cloth.bump, cloth.gloss
        assert bump is not None
        assert isinstance(gloss, Tensor)
        x, y, z = patch.place.unbind(1)
        soft = max(patch.pixel, 0.001)
        front = (z > 0.0).float()
        if outfit.opening:
            inner = outfit.inner(patch)
            if outfit.opening > 0:
                half = 0.045 + (top - y) / 0.45 * outfit.opening
            else:
                half = 0.055 * (1 - (top - y - 0.02) / 0.26)
            inside = _step(x.abs() - half, soft) * front
            lapel = _step((x.abs() - half - 0.016).abs() - 0.016, soft) * front * (1 - inside) * (y > -0.06)
            albedo = torch.lerp(albedo, albedo * 0.86, lapel[:, None])
            rim = torch.exp(-(((x.abs() - half) / 0.006) ** 2)) * front
            albedo = torch.lerp(albedo, inner.albedo, inside[:, None]) * (1 - 0.35 * rim[:, None])
            assert inner.bump is not None
            bump = torch.lerp(bump, inner.bump, inside[:, None])
            gloss = gloss * (1 - inside[:, None])
            if outfit.tie is not None:
                width = 0.016 + 0.022 * ((top - y - 0.03) / 0.3).clamp(0, 1)
                knot = _step((y - top + 0.018).abs() - 0.016, soft) * _step(x.abs() - 0.018, soft)
                tie = torch.maximum(_step(x.abs() - width, soft) * (y < top - 0.02), knot) * inside
                stripe = 1 - 0.25 * _step(torch.sin((x + y) * 200) * 0.004, 0.003)
                albedo = torch.lerp(albedo, albedo.new_tensor(outfit.tie).view(3, 1, 1) * stripe[:, None], tie[:, None])
        elif outfit.print_:
            albedo, gloss = _print(outfit, patch, albedo, gloss, front, soft)
        if outfit.straps is not None:
            strap = _step((x.abs() - 0.082 - 0.15 * (y - 0.1).clamp(min=0)).abs() - 0.02, soft)
            albedo = torch.lerp(albedo, albedo.new_tensor(outfit.straps).view(3, 1, 1), (strap * front)[:, None])
        bare = _neckline(outfit, x, y, top, soft) * ((z + 0.02) / 0.02).clamp(0, 1)
        if outfit.collar == "bare":
            bare = _step(0.055 - y, soft)
        if float(bare.max()) > 0:
            flesh = skin(patch)
            edge = (bare * (1 - bare) * 4)[:, None]
            albedo = torch.lerp(albedo, flesh.albedo, bare[:, None]) * (1 - 0.25 * edge)
            bump = bump * (1 - bare[:, None])
            gloss = gloss + (0.1 - gloss) * bare[:, None]
            if outfit.necklace:
                chain = _step(
                    ((x / 0.075).square() + ((y - top - 0.01) / 0.11).square()).sqrt().sub(1).abs() * 0.09 - 0.0014,
                    soft,
                )
                albedo = torch.lerp(
                    albedo, albedo.new_tensor((0.9, 0.8, 0.5)).view(3, 1, 1), (chain * front * bare)[:, None]
                )
        return Look(albedo, bump, gloss)

    return look


def _neckline(outfit: Outfit, x: Tensor, y: Tensor, top: float, soft: float) -> Tensor:
    """1 where skin is visible below the neck."""
    if outfit.collar == "v":
        return _step(x.abs() - 0.06 * ((y - top + 0.12) / 0.13), soft)
    if outfit.collar == "scoop":
        return _step((((x / 0.085).square() + ((y - top - 0.02) / 0.115).square()).sqrt() - 1) * 0.08, soft)
    if outfit.collar == "crew":
        return _step((((x / 0.068).square() + ((y - top - 0.01) / 0.045).square()).sqrt() - 1) * 0.045, soft)
    if outfit.collar == "shirt" and outfit.tie is None:
        return _step(x.abs() - 0.035 * ((y - top + 0.05) / 0.07), soft)
    return torch.zeros_like(x)


def _print(
    outfit: Outfit, patch: Patch, albedo: Tensor, gloss: Tensor, front: Tensor, soft: float
) -> tuple[Tensor, Tensor]:
    x, y, _ = patch.place.unbind(1)
    cx, cy, size = outfit.print_place
    color = albedo.new_tensor(outfit.print_color).view(3, 1, 1)
    if outfit.print_ == "zip":
        line = _step(x.abs() - 0.004, soft) * front
        teeth = 0.6 + 0.4 * torch.sin(y * 900).sign()
        return torch.lerp(albedo, (0.55 * teeth)[:, None].expand_as(albedo), line[:, None]), gloss + 0.3 * line[:, None]
    if outfit.print_ == "buttons":
        seam = _step((x.abs() - 0.016).abs() - 0.0009, soft) * front
        button = _step((x.square() + ((y % 0.085) - 0.04).square()).sqrt() - 0.0055, soft) * front
        albedo = albedo * (1 - 0.25 * seam[:, None])
        return torch.lerp(albedo, color, button[:, None]), gloss
    tiles = tile_tensors(patch.place.device)
    if outfit.print_ == "disc":
        away = ((x - cx).square() + (y - cy).square()).sqrt() - size
        inside = _step(away, soft) * front
        ring = _step(away.abs() - 0.12 * size, soft) * front
    else:
        high = size * (1.1 if outfit.print_ == "picture" else 0.55)
        away = torch.maximum((x - cx).abs() - size, (y - cy).abs() - high)
        inside = _step(away, soft) * front
        ring = _step(away.abs() - 0.03 * size, soft) * front * (outfit.print_ == "patch")
    cloud = look_up(tiles["cloud"][1:3], (x - cx) / (size * 5), (y - cy) / (size * 5))
    drawing = torch.lerp(color, 1 - color, ((cloud[:, :1] * 4).clamp(-0.5, 0.5) + 0.5)) * (1 + 0.15 * cloud[:, 1:])
    if outfit.print_ == "picture" and outfit.print_color.sum() > 1.6:  # directly on the cloth, without a frame
        inside = inside * (cloud[:, 1] * 5 + 0.2).clamp(0, 1)
    albedo = torch.lerp(albedo, drawing.clamp(0.02, 0.98), inside[:, None])
    return torch.lerp(albedo, color * 0.5, ring[:, None]), gloss


def belted(outfit: Outfit) -> Material:
    """The cloth of the hips, in pelvis coordinates, with the upper garment down to its hem."""
    hem = {"jumper": -0.02, "suit": -0.12, "coat": -0.5, "jacket": -0.04, "dress": -0.5, "overall": -0.5}.get(
        outfit.kind, 0.0
    )

    def look(patch: Patch) -> Look:
        lower, upper = outfit.leg_cloth(patch), outfit.cloth(patch)
        y = patch.place[:, 1]
        soft = max(patch.pixel, 0.001)
        share = _step(hem - y, soft)[:, None]
        albedo = torch.lerp(lower.albedo, upper.albedo, share)
        assert lower.bump is not None
        assert upper.bump is not None
        if outfit.belt is not None and hem >= -0.02:
            albedo = torch.lerp(
                albedo,
                albedo.new_tensor(outfit.belt).view(3, 1, 1),
                _step((y - hem + 0.02).abs() - 0.018, soft)[:, None],
            )
        return Look(albedo, torch.lerp(lower.bump, upper.bump, share), lower.gloss)

    return look


def _step(distance: Tensor, soft: float) -> Tensor:
    return (0.5 - distance / soft).clamp(0, 1)

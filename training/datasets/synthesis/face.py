"""Heads: skull, jaw, nose and ears, and a face painted onto them in head coordinates."""

# n moments, h, w; head coordinates: metres for a head of scale 1, origin in its centre, x right, y up, z to the front

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .noise import look_up, tile_tensors
from .palette import draw_hair_color
from .randomness import Dice
from .skeleton import Build, Pose
from .surfaces import Cone, Ellipsoid, Frame, Look, Material, Patch, Surface

EYE = (0.031, 0.003)
MOUTH = -0.062
_IRISES = ((0.25, 0.15, 0.08), (0.18, 0.11, 0.07), (0.30, 0.36, 0.22), (0.35, 0.48, 0.58), (0.35, 0.37, 0.38))


@dataclass(frozen=True)
class Face:
    """The features in which faces differ."""

    skin: np.ndarray
    hair: np.ndarray  # colour of brows and beard
    iris: np.ndarray
    lips: np.ndarray
    brow_height: float
    brow_weight: float
    eye_size: float
    mouth_width: float
    smile: float
    nose: float
    jaw: float
    beard: float  # 0 none .. 1 full
    beard_low: float  # the height on the face above which the beard ends
    stubble: float
    blush: float
    glasses: str | None  # "clear", "sun"
    glasses_color: np.ndarray
    freckles: float


def draw_face(dice: Dice, build: Build, skin: np.ndarray, hair: np.ndarray) -> Face:
    woman = build.bust > 0
    made_up = woman and dice.happens(0.5)
    bearded = not woman and build.height > 1.5 and dice.happens(0.35)
    red = np.array([dice.between(0.55, 0.8), dice.between(0.1, 0.3), dice.between(0.15, 0.35)])
    natural = skin * np.array([0.92, 0.68, 0.66])
    return Face(
        skin=skin,
        hair=hair if dice.happens(0.8) else draw_hair_color(dice),
        iris=np.array(dice.one_of(_IRISES, (4, 3, 1.2, 1.5, 1))),
        lips=natural + (red - natural) * (dice.between(0.3, 0.9) if made_up else dice.between(0, 0.15)),
        brow_height=dice.around(0.027, 0.003),
        brow_weight=dice.between(0.6, 1.0) if woman else dice.between(0.9, 1.7),
        eye_size=dice.around(1.0, 0.12),
        mouth_width=dice.around(0.025, 0.003),
        smile=dice.between(-0.15, 0.9),
        nose=dice.around(1.0, 0.12),
        jaw=dice.around(0.94 if woman else 1.03, 0.05),
        beard=dice.between(0.5, 1.0) if bearded else 0.0,
        beard_low=dice.one_of((-0.03, -0.05, -0.085)),
        stubble=dice.between(0, 0.5) if not woman else 0.0,
        blush=dice.between(0.0, 0.25),
        glasses=dice.one_of((None, "clear", "sun"), (0.74, 0.20, 0.06)),
        glasses_color=np.array(
            dice.one_of(((0.05, 0.05, 0.05), (0.25, 0.14, 0.08), (0.6, 0.6, 0.62), (0.5, 0.1, 0.1)))
        ),
        freckles=dice.between(0, 0.5) if dice.happens(0.15) else 0.0,
    )


def head_surfaces(face: Face, build: Build, frame: Frame, pose: Pose) -> list[Surface]:
    k = build.head
    skin = face_material(face, k, pose)
    plain = skin_material(face.skin)

    def at(x: float, y: float, z: float) -> tuple[float, float, float]:
        return x * k, y * k, z * k

    surfaces: list[Surface] = [
        Ellipsoid(frame, at(0, 0.024, -0.008), at(0.074, 0.096, 0.093), skin),
        Ellipsoid(frame, at(0, -0.047, 0.022), at(0.057 * face.jaw, 0.073, 0.067), skin, join=0.03),
        Cone(
            frame.at(*at(0, 0.006, 0.083)),
            frame.at(*at(0, -0.031, 0.092)),
            (0.007 * k, 0.0125 * k * face.nose),
            skin_material(face.skin, 1.04),
        ),
    ]
    for side in (1, -1):
        surfaces.append(Ellipsoid(frame, at(side * 0.075, -0.008, -0.008), at(0.011, 0.030, 0.020), plain))
    return surfaces


def skin_material(skin: np.ndarray, light: float = 1.0) -> Material:
    def look(patch: Patch) -> Look:
        cloud = tile_tensors(patch.place.device)["cloud"][1:2]
        mottle = look_up(cloud, patch.place[:, 0] / 0.35, patch.place[:, 1] / 0.35)
        return Look(_color(patch, skin) * (light + 0.035 * mottle), None, 0.10)

    return look


def face_material(face: Face, k: float, pose: Pose) -> Material:
    """Skin with eyes, brows, lips, beard and glasses on its front."""

    def look(patch: Patch) -> Look:
        x, y, z = (patch.place / k).unbind(1)
        soft = max(patch.pixel / k, 0.0008)
        tiles = tile_tensors(patch.place.device)
        mottle = look_up(tiles["cloud"][1:2], x / 0.3, y / 0.3)[:, 0]
        front = (z / 0.03).clamp(0, 1)
        ax = x.abs()
        shade = 1 + 0.035 * mottle
        shade -= 0.20 * _bell(ax, y, 0.030, 0.012, 0.022, 0.013) * front  # sockets
        shade -= 0.10 * _bell(ax, y, 0.030, -0.016, 0.018, 0.008) * front
        shade -= 0.16 * _bell(ax, y, 0.014, -0.036, 0.007, 0.009) * front  # next to and below the nose
        shade -= 0.20 * _bell(ax, y, 0.0, -0.044, 0.016, 0.005) * front
        shade -= 0.12 * _bell(ax, y, 0.0, -0.080, 0.018, 0.006) * front  # under the lower lip
        shade += 0.06 * _bell(ax, y, 0.040, -0.025, 0.018, 0.014) * front  # cheeks
        crease = (ax - 0.020 - 0.35 * (-0.040 - y).clamp(0, 0.04)).abs()
        shade -= 0.10 * torch.exp(-((crease / 0.004) ** 2)) * ((-0.038 - y) / 0.01).clamp(0, 1) * (y > -0.075) * front
        if face.freckles:
            speck = look_up(tiles["grain"][1:2], x / 0.12, y / 0.12)[:, 0]
            shade -= face.freckles * 0.12 * (speck - 1).clamp(0, 1) * _bell(ax, y, 0.02, -0.02, 0.04, 0.025)
        albedo = _color(patch, face.skin) * shade[:, None]
        blush = (
            (_bell(ax, y, 0.045, -0.030, 0.018, 0.016) + 0.7 * _bell(ax, y, 0, -0.03, 0.014, 0.01)) * face.blush * front
        )
        albedo = _mix(albedo, face.skin * np.array([1.02, 0.72, 0.70]), blush)
        if face.beard or face.stubble:
            albedo = _mix(albedo, face.hair, _beard(face, x, y, tiles))
        moments = patch.moments
        albedo = _mouth(face, albedo, x, y, soft, _curve(pose.talk[moments], patch), front)
        albedo = _eyes(face, albedo, x, y, soft, _curve(pose.lids[moments], patch), front)
        brow = (y - face.brow_height + 6.0 * (ax - 0.030) ** 2 + 0.10 * (ax - 0.030)).abs()
        thick = 0.0026 * face.brow_weight * (1.25 - (ax - 0.012) / 0.045).clamp(0.3, 1.2)
        grow = look_up(tiles["streak"][0:1], x / 0.05 + y / 0.1, y / 0.15)[:, 0]
        hairs = _step(brow - thick, 0.002) * _step((ax - 0.031).abs() - 0.021, 0.003) * front
        albedo = _mix(albedo, face.hair, hairs * (0.75 + 0.2 * grow).clamp(0, 1))
        gloss = torch.full_like(x, 0.12)
        if face.glasses:
            albedo, gloss = _glasses(face, albedo, gloss, x, y, soft, front)
        return Look(albedo, None, gloss[:, None])

    return look


def _mouth(face: Face, albedo: Tensor, x: Tensor, y: Tensor, soft: float, talk: Tensor, front: Tensor) -> Tensor:
    wide = face.mouth_width * (1 + 0.2 * face.smile)
    line = y - MOUTH - face.smile * 9.0 * x * x + 0.004 * face.smile
    opening = 0.011 * talk
    across = (1 - (x / wide) ** 2).clamp(min=0)
    upper, lower = 0.0065 * across, 0.0085 * across.sqrt() + opening * across
    lips = torch.maximum(line - upper, -line - lower)
    albedo = _mix(albedo, face.lips, _step(lips, max(soft, 0.0012)) * 0.9 * front)
    grin = 0.0045 * max(0.0, face.smile - 0.45)
    gap = torch.maximum(line - 0.0008 - 0.3 * (opening + grin) * across, -line - (opening + grin) * across - 0.0006)
    inside = _step(gap, max(soft, 0.0008)) * (across > 0.03) * front
    albedo = _mix(albedo, np.array([0.22, 0.08, 0.08]), inside)
    if face.smile > 0.45:
        teeth = (
            _step((line + 0.35 * (opening + grin)).abs() - 0.45 * (opening + grin) * across, soft)
            * (across > 0.15)
            * front
        )
        albedo = _mix(albedo, np.array([0.90, 0.87, 0.82]), teeth)
    return albedo


def _eyes(face: Face, albedo: Tensor, x: Tensor, y: Tensor, soft: float, lids: Tensor, front: Tensor) -> Tensor:
    ex, ey = x.abs() - EYE[0], y - EYE[1]
    wide = 0.0135 * face.eye_size
    across = (1 - (ex / wide) ** 2).clamp(min=0)
    upper, lower = 0.0062 * face.eye_size * across * lids, 0.0045 * face.eye_size * across * lids
    lens = torch.maximum(ey - upper, -ey - lower)
    ball = _step(lens, soft) * (across > 0) * front
    albedo = _mix(albedo, np.array([0.86, 0.84, 0.82]), ball)
    away = (ex.square() + ey.square()).sqrt()
    albedo = _mix(albedo, face.iris, _step(away - 0.0060, soft) * ball)
    albedo = _mix(albedo, np.array([0.02, 0.02, 0.02]), _step(away - 0.0027, soft) * ball)
    spark = ((x - EYE[0] * torch.sign(x) - 0.002).square() + (ey - 0.002).square()).sqrt()
    albedo = _mix(albedo, np.array([1.0, 1.0, 1.0]), _step(spark - 0.0011, soft) * ball)
    lash = (ey - upper).abs() - 0.0009
    return _mix(albedo, face.hair * 0.4, _step(lash, soft) * (across > 0) * 0.85 * front)


def _beard(face: Face, x: Tensor, y: Tensor, tiles: dict[str, Tensor]) -> Tensor:
    rough = look_up(tiles["grain"][1:2], x / 0.10, y / 0.10)[:, 0]
    edge = face.beard_low + 1.1 * (x.abs() - 0.045).clamp(min=0) - y + 0.004 * rough
    jaw = (edge / 0.012 + 0.5).clamp(0, 1)
    moustache = _bell(x.abs(), y, 0.012, -0.049, 0.016, 0.006)
    bare = _bell(x, y, 0, MOUTH - 0.002, 0.022, 0.011)
    return (
        (torch.maximum(jaw, moustache) * (1 - bare)).clamp(0, 1)
        * max(face.beard, face.stubble * 0.5)
        * (0.85 + 0.15 * rough)
    )


def _glasses(
    face: Face, albedo: Tensor, gloss: Tensor, x: Tensor, y: Tensor, soft: float, front: Tensor
) -> tuple[Tensor, Tensor]:
    assert face.glasses is not None
    ex, ey = x.abs() - 0.033, y - 0.001
    # a box with round corners, between circle and rectangle
    away = ((ex / 0.025) ** 4 + (ey / 0.019) ** 4 + 1e-9) ** 0.25 * 0.021 - 0.021
    rim = _step(away.abs() - 0.0016, soft)
    bridge = _step((ey - 0.004).abs() - 0.0014, soft) * _step(x.abs() - 0.010, soft)
    temple = _step((ey - 0.005).abs() - 0.0018, soft) * (x.abs() > 0.056)
    inside = _step(away, soft)
    if face.glasses == "sun":
        albedo = _mix(albedo, face.glasses_color * 0.3, inside * 0.93 * front)
        gloss = gloss + 0.6 * inside * front
    else:
        albedo = _mix(albedo, np.array([0.9, 0.95, 1.0]), inside * 0.06 * front)
    return _mix(albedo, face.glasses_color, torch.maximum(torch.maximum(rim, bridge) * front, temple)), gloss


def _bell(x: Tensor, y: Tensor, cx: float, cy: float, rx: float, ry: float) -> Tensor:
    return torch.exp(-(((x - cx) / rx).square() + ((y - cy) / ry).square()))


def _step(distance: Tensor, soft: float) -> Tensor:
    """1 inside (negative), 0 outside, with a transition of `soft` metres."""
    return (0.5 - distance / soft).clamp(0, 1)


def _mix(albedo: Tensor, color: np.ndarray, share: Tensor) -> Tensor:
    return torch.lerp(albedo, albedo.new_tensor(color).view(3, 1, 1), share[:, None])


def _color(patch: Patch, color: np.ndarray) -> Tensor:
    return patch.place.new_tensor(color).view(3, 1, 1)


def _curve(values: np.ndarray, patch: Patch) -> Tensor:
    return patch.place.new_tensor(values).view(-1, 1, 1)

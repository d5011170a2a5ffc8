"""Named colours in OKLab: which one a drawing has, and how to give it another.

OKLab (B. Ottosson, 2020) is nearly uniform to the eye: L lightness in 0..1, chroma C = |(a, b)| in about 0..0.32, hue
in degrees (red 29, yellow 110, green 142, blue 264).
"""

from __future__ import annotations

import numpy as np

# Lightness, chroma and hue that a drawing's main colour is moved to. The neutral ones have no hue to speak of.
TARGETS: dict[str, tuple[float, float, float]] = {
    "red": (0.60, 0.225, 27.0),
    "orange": (0.745, 0.17, 56.0),
    "yellow": (0.88, 0.165, 96.0),
    "green": (0.65, 0.175, 145.0),
    "blue": (0.57, 0.185, 257.0),
    "purple": (0.50, 0.195, 305.0),
    "pink": (0.79, 0.135, 352.0),
    "black": (0.27, 0.006, 270.0),
    "white": (0.93, 0.006, 270.0),
}
_TO_LMS = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
_TO_LAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)


def to_oklab(rgb: np.ndarray) -> np.ndarray:
    """sRGB [..., 3] in 0..1 to OKLab [..., 3]."""
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return np.cbrt(linear @ _TO_LMS.T) @ _TO_LAB.T


def to_srgb(lab: np.ndarray) -> np.ndarray:
    """OKLab [..., 3] to sRGB [..., 3], clipped to 0..1."""
    linear = np.clip((lab @ np.linalg.inv(_TO_LAB).T) ** 3 @ np.linalg.inv(_TO_LMS).T, 0, 1)
    return np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)


def named_rgb(name: str) -> np.ndarray:
    """A named colour of TARGETS as sRGB [3] in 0..1."""
    if name not in TARGETS:
        raise ValueError(f"unknown colour {name!r}; known are {', '.join(TARGETS)}")
    light, chroma, hue = TARGETS[name]
    return to_srgb(_from_polar(np.array(light), np.array(chroma), np.array(hue)))


def mean_colour(pixels: np.ndarray) -> np.ndarray:
    """OKLab [3] averaged over the visible part of an RGBA uint8 picture [H, W, 4]."""
    weight = pixels[..., 3:].astype(float)
    return (to_oklab(pixels[..., :3] / 255.0) * weight).sum((0, 1)) / weight.sum()


def measured_colour(pixels: np.ndarray) -> str | None:
    """The one colour name that a drawing (RGBA uint8 [H, W, 4]) deserves without doubt, else None.

    It must cover 62% of what is visible and leave no other name more than 22%.
    """
    visible = pixels[..., 3] > 127
    light, chroma, hue = _polar(to_oklab(pixels[visible][:, :3] / 255.0))
    share = sorted(((float(mask.mean()), name) for name, mask in _classes(light, chroma, hue).items()), reverse=True)
    (first, name), (second, _) = share[:2]
    return name if first >= 0.62 and second <= 0.22 else None


def recoloured(pixels: np.ndarray, name: str) -> np.ndarray:
    """A drawing (RGBA uint8 [H, W, 4]) with its main hue changed to a named colour; shading and other hues stay."""
    if name not in TARGETS:
        raise ValueError(f"unknown colour {name!r}; known are {', '.join(TARGETS)}")
    lab = to_oklab(pixels[..., :3] / 255.0)
    light, chroma, hue = _polar(lab)
    weight = pixels[..., 3] / 255.0 * chroma
    main = _main_hue(hue, weight)
    away = np.abs(_turn(hue - main))
    member = np.clip((80 - away) / 20, 0, 1) * np.clip((chroma - 0.015) / 0.025, 0, 1)
    core = weight * member
    middle, strength = (float((core * value).sum() / core.sum()) for value in (light, chroma))
    goal_light, goal_chroma, goal_hue = TARGETS[name]
    contrast = 0.55 if goal_chroma < 0.05 else 0.85
    new = _from_polar(
        np.clip(goal_light + contrast * (light - middle), 0.03, 0.99),
        goal_chroma * np.clip(chroma / strength, 0, 1.25),
        goal_hue + 0.25 * _turn(hue - main),
    )
    mixed = lab + member[..., None] * (new - lab)
    return np.concatenate([np.round(to_srgb(mixed) * 255).astype(np.uint8), pixels[..., 3:]], axis=-1)


def _polar(lab: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return lab[..., 0], np.hypot(lab[..., 1], lab[..., 2]), np.degrees(np.arctan2(lab[..., 2], lab[..., 1])) % 360


def _from_polar(light: np.ndarray, chroma: np.ndarray, hue: np.ndarray) -> np.ndarray:
    angle = np.radians(hue)
    return np.stack([light, chroma * np.cos(angle), chroma * np.sin(angle)], axis=-1)


def _turn(degrees: np.ndarray) -> np.ndarray:
    """The same angle in -180..180."""
    return (degrees + 180) % 360 - 180


def _main_hue(hue: np.ndarray, weight: np.ndarray) -> float:
    """The centre of the 50 degrees that hold most of the coloured area."""
    counts = np.bincount((hue.ravel() // 5).astype(int) % 72, weights=weight.ravel(), minlength=72)
    window = sum(np.roll(counts, shift) for shift in range(-5, 6))
    centre = int(np.argmax(window)) * 5 + 2.5
    near = weight * (np.abs(_turn(hue - centre)) < 45)
    return float(centre + (near * _turn(hue - centre)).sum() / near.sum())


def _classes(light: np.ndarray, chroma: np.ndarray, hue: np.ndarray) -> dict[str, np.ndarray]:
    neutral = chroma < 0.045
    warm = (hue >= 20) & (hue < 95)
    brown = ~neutral & warm & (light < 0.66) & (chroma < 0.145)
    vivid = ~neutral & ~brown
    rosy = (hue >= 325) | (hue < 20)
    pink = vivid & rosy & (light >= 0.68)
    return {
        "black": neutral & (light < 0.40),
        "gray": neutral & (light >= 0.45) & (light < 0.85),
        "white": neutral & (light >= 0.88),
        "brown": brown,
        "pink": pink,
        "red": vivid & ~pink & ((hue >= 5) & (hue < 42)) & (light < 0.72),
        "orange": vivid & (hue >= 46) & (hue < 76) & (light > 0.6) & (chroma > 0.13),
        "yellow": vivid & (hue >= 78) & (hue < 112) & (light > 0.7),
        "green": vivid & (hue >= 116) & (hue < 172),
        "blue": vivid & (hue >= 222) & (hue < 282),
        "purple": vivid & (hue >= 286) & (hue < 325) & (light > 0.42) & (light < 0.78),
    }

"""Named colours, and the space in which their distances are those that people see."""

import numpy as np

NAMED = {
    "red": "#dc2f3a",
    "orange": "#f68a1e",
    "yellow": "#f8d441",
    "green": "#3da55d",
    "turquoise": "#2cc5bd",
    "blue": "#2f6bd8",
    "purple": "#7a45c4",
    "pink": "#f583b6",
    "brown": "#85532f",
    "white": "#f7f4ee",
    "black": "#23242b",
}

# B. Ottosson, "A perceptual color space for image processing", 2020: linear RGB -> cone responses -> OKLab
TO_CONES = np.array(
    [[0.4122214708, 0.5363325363, 0.0514459929],
     [0.2119034982, 0.6806995451, 0.1073969566],
     [0.0883024619, 0.2817188376, 0.6299787005]]
)  # fmt: skip
TO_LAB = np.array(
    [[0.2104542553, 0.7936177850, -0.0040720468],
     [1.9779984951, -2.4285922050, 0.4505937099],
     [0.0259040371, 0.7827717662, -0.8086757660]]
)  # fmt: skip
FROM_LAB, FROM_CONES = np.linalg.inv(TO_LAB), np.linalg.inv(TO_CONES)


def oklab(rgb: np.ndarray) -> np.ndarray:
    """sRGB from 0 to 1, (..., 3), as lightness (0 to 1) and two colour axes."""
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return np.cbrt(linear @ TO_CONES.T) @ TO_LAB.T


def srgb(lab: np.ndarray) -> np.ndarray:
    """OKLab as sRGB from 0 to 1, (..., 3); what no screen can show is clipped."""
    linear = np.clip((lab @ FROM_LAB.T) ** 3 @ FROM_CONES.T, 0, 1)
    return np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)


def of_hex(code: str) -> np.ndarray:
    """ "#rrggbb" as sRGB from 0 to 1, (3,)."""
    return np.array([int(code[at : at + 2], 16) for at in (1, 3, 5)]) / 255


LAB = {name: oklab(of_hex(code)) for name, code in NAMED.items()}


def nearest(rgb: np.ndarray) -> str:
    """The name of the colour that looks most like this one."""
    return min(LAB, key=lambda name: float(np.linalg.norm(LAB[name] - oklab(rgb))))

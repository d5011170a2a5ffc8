"""Pictures of textured meshes, by numpy alone: a depth buffer over the fragments of all triangles at once.

A mesh is read from an OBJ file and its materials (diffuse colours and textures; nothing else of them is used).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

LIGHTS = ((np.array([-0.45, 0.7, 0.55]), 0.55), (np.array([0.7, 0.15, 0.6]), 0.22))  # towards them, and how bright
AMBIENT = 0.42
DISTANCE = 4.5  # of the eye from the middle of a mesh of radius 1
CANDIDATES = 4_000_000  # pixels of bounding boxes that are looked at together
GREY = (0.72, 0.72, 0.72)
Read = Callable[[str], bytes]
Look = tuple[np.ndarray, np.ndarray | None]  # colour and texture of a material


@dataclass(frozen=True, kw_only=True)
class Mesh:
    """T triangles around the origin, within radius 1, y upwards. corners, normals [T, 3, 3]; places [T, 3, 2] on the
    texture; material [T]; colours [M, 3] in 0..1; textures: uint8 [h, w, 3] or None for each material."""

    corners: np.ndarray
    normals: np.ndarray
    places: np.ndarray
    material: np.ndarray
    colours: np.ndarray
    textures: tuple[np.ndarray | None, ...]


def read_mesh(file: str, read: Read) -> Mesh:
    """A mesh from an OBJ file; read(name) gives the bytes of a file beside it. ValueError if it has no face."""
    lists: dict[str, list[list[float]]] = {"v": [], "vt": [], "vn": []}
    names: list[str] = []
    looks: dict[str, Look] = {}
    found: list[tuple[list[tuple[int, int, int]], int]] = []
    for line in read(file).decode("latin-1").splitlines():
        word, *rest = line.split() or [""]
        if word in lists:
            lists[word].append([float(number) for number in rest[:3]])
        elif word == "mtllib":
            looks |= _materials(" ".join(rest), read)
        elif word == "usemtl":
            names.append(" ".join(rest))
        elif word == "f":
            corners = [_corner(part, lists) for part in rest]
            found += [([corners[0], *corners[i : i + 2]], len(names) - 1) for i in range(1, len(corners) - 1)]
    if not found:
        raise ValueError(f"{file} has no face")
    return _assembled(lists, found, names, looks)


def _corner(part: str, lists: dict[str, list[list[float]]]) -> tuple[int, int, int]:
    """Indices of the vertex, the place on the texture and the normal of a corner "7/3/5"; -1 where there is none."""
    numbers = [int(number) if number else 0 for number in (part + "//").split("/")[:3]]
    sizes = [len(lists[key]) for key in ("v", "vt", "vn")]
    first, second, third = (n - 1 if n > 0 else n + size if n else -1 for n, size in zip(numbers, sizes, strict=True))
    return first, second, third


def _materials(file: str, read: Read) -> dict[str, Look]:
    """Name -> colour and texture."""
    found: dict[str, Look] = {}
    name = ""
    for line in read(file).decode("latin-1").splitlines():
        word, *rest = line.split() or [""]
        if word == "newmtl":
            name = " ".join(rest)
            found[name] = (np.array(GREY), None)
        elif word == "Kd":
            found[name] = (np.array([float(number) for number in rest[:3]]), found[name][1])
        elif word == "map_Kd":
            found[name] = (found[name][0], _texture(read(rest[-1])))
    return found


def _texture(content: bytes) -> np.ndarray:
    """uint8 [h, w, 3], at most 256 a side: finer ones would be skipped over in pictures this small."""
    import io

    from PIL import Image

    with Image.open(io.BytesIO(content)) as picture:
        small = picture.convert("RGB")
    small.thumbnail((256, 256), Image.Resampling.LANCZOS)
    return np.asarray(small)


def _assembled(
    lists: dict[str, list[list[float]]],
    found: list[tuple[list[tuple[int, int, int]], int]],
    names: list[str],
    looks: dict[str, Look],
) -> Mesh:
    which = np.array([corners for corners, _ in found])
    corners = np.array(lists["v"])[which[..., 0]]
    corners -= (corners.min((0, 1)) + corners.max((0, 1))) / 2
    corners /= np.linalg.norm(corners, axis=-1).max()
    flat = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])[:, None].repeat(3, 1)
    given = np.array(lists["vn"])[which[..., 2]] if lists["vn"] else flat
    normals = np.where(which[..., 2:] >= 0, given, flat)
    texture = np.array([place[:2] for place in lists["vt"]] or [[0.0, 0.0]])
    order = list(dict.fromkeys(names)) or [""]
    each = [looks.get(name, (np.array(GREY), None)) for name in order]
    return Mesh(
        corners=corners,
        normals=normals / np.maximum(np.linalg.norm(normals, axis=-1, keepdims=True), 1e-9),
        places=texture[which[..., 1]],
        material=np.array([order.index(names[number]) if number >= 0 else 0 for _, number in found]),
        colours=np.array([colour for colour, _ in each]),
        textures=tuple(texture for _, texture in each),
    )


def render(mesh: Mesh, yaw: float, pitch: float, size: int) -> np.ndarray:
    """The mesh turned by `yaw` about the vertical and seen from `pitch` above (degrees): RGBA uint8 [size, size, 4]."""
    view = _turn(pitch, 0) @ _turn(yaw, 1)
    corners, normals = mesh.corners @ view.T, mesh.normals @ view.T
    near = DISTANCE / (DISTANCE - corners[..., 2])
    screen = np.stack([corners[..., 0] * near, -corners[..., 1] * near], axis=-1)
    screen = (screen / 1.04 + 1) / 2 * size
    nearest = np.full(size * size, -1)
    shares = np.zeros((size * size, 3))
    depth = np.full(size * size, -np.inf)
    for pixel, triangle, share in _fragments(screen, size):
        z = (corners[triangle, :, 2] * share).sum(1)
        order = np.argsort(z, kind="stable")  # the last of equal pixels stays
        pixel, triangle, share, z = pixel[order], triangle[order], share[order], z[order]
        nearer = z > depth[pixel]
        pixel = pixel[nearer]
        nearest[pixel], shares[pixel], depth[pixel] = triangle[nearer], share[nearer], z[nearer]
    picture = np.zeros((size * size, 4), np.uint8)
    shown = np.flatnonzero(nearest >= 0)
    picture[shown, :3] = _shaded(mesh, normals, nearest[shown], shares[shown])
    picture[shown, 3] = 255
    return picture.reshape(size, size, 4)


def _turn(degrees: float, axis: int) -> np.ndarray:
    """A turn about x (0) or y (1)."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[1, 0, 0], [0, c, -s], [0, s, c]] if axis == 0 else [[c, 0, s], [0, 1, 0], [-s, 0, c]])


def _fragments(screen: np.ndarray, size: int) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Pixels that triangles [T, 3, 2] cover: (pixel [n], triangle [n], shares of the three corners [n, 3]), in parts.

    Triangles of about one size are looked at together, each over a square window of pixels from its top left one.
    """
    low = np.clip(np.floor(screen.min(1)), 0, size - 1).astype(int)
    high = np.clip(np.ceil(screen.max(1)), 0, size).astype(int)
    widths = (high - low).max(1)
    for exponent in range(1, int(np.ceil(np.log2(size))) + 1):
        window = 2**exponent
        members = np.flatnonzero((widths <= window) & (widths > (window // 2 if exponent > 1 else 0)))
        together = max(1, CANDIDATES // window**2)
        for start in range(0, len(members), together):
            yield _covered(screen, low, members[start : start + together], window, size)


def _covered(
    screen: np.ndarray, low: np.ndarray, members: np.ndarray, window: int, size: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    line = np.arange(window)
    x, y = low[members, 0, None, None] + line[None, None], low[members, 1, None, None] + line[None, :, None]
    x, y = np.broadcast_arrays(x, y)
    (ax, ay), (bx, by), (cx, cy) = (screen[members, corner].T[:, :, None, None] for corner in range(3))
    area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
    with np.errstate(divide="ignore", invalid="ignore"):
        second = ((x + 0.5 - ax) * (cy - ay) - (y + 0.5 - ay) * (cx - ax)) / area
        third = ((bx - ax) * (y + 0.5 - ay) - (by - ay) * (x + 0.5 - ax)) / area
        first = 1 - second - third
    inside = (first >= 0) & (second >= 0) & (third >= 0) & (x < size) & (y < size) & (np.abs(area) > 1e-9)
    which = np.nonzero(inside)
    shares = np.stack([first[inside], second[inside], third[inside]], axis=1)
    return (y * size + x)[inside], members[which[0]], shares


def _shaded(mesh: Mesh, normals: np.ndarray, triangle: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Colours uint8 [n, 3] of fragments: their material under two lamps that stand by the eye."""
    normal = (normals[triangle] * shares[..., None]).sum(1)
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)
    normal *= np.where(normal[:, 2:] < 0, -1, 1)  # a surface is seen from both sides
    light = AMBIENT + sum(strength * np.clip(normal @ (to / np.linalg.norm(to)), 0, 1) for to, strength in LIGHTS)
    colour = mesh.colours[mesh.material[triangle]]
    place = (mesh.places[triangle] * shares[..., None]).sum(1)
    for number, texture in enumerate(mesh.textures):
        if texture is not None:
            here = mesh.material[triangle] == number
            high, wide = texture.shape[:2]
            column = (place[here, 0] % 1 * wide).astype(int) % wide
            row = ((1 - place[here, 1]) % 1 * high).astype(int) % high
            colour[here] = texture[row, column] / 255
    return np.round(np.clip(colour * np.asarray(light)[:, None], 0, 1) * 255).astype(np.uint8)

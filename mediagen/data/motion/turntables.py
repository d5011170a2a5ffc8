"""Films of three-dimensional models that turn once around, to be shown as the animated drawings are."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path

from ..fetch import Package, Report, fetch
from .films import OVER, Drawn, film_of
from .raster import read_mesh, render
from .world import MotionWorld

VIEWS = 32  # of one turn
PITCH = 18.0  # degrees that they are seen from above
LIBRARY = "usr/share/sweethome3d/furniture/BlendSwap-CC-0.sh3f"
MODELS = Package(
    name="sweethome3d-furniture",
    version="1.8-1",
    kind="apt",
    licence="CC0-1.0",
    sha256="3ccb90c63f9525e887a767b9cd5c8b6933b8b6b2973a615a5359ee68a2118668",
    notice="Sweet Home 3D models, of which only those of BlendSwap-CC-0.sh3f are used: public domain (CC0), by the "
    "authors named in docs/motion.md, converted by Emmanuel Puybaret.",
)


def turntables(world: MotionWorld, cell: int, cache: Path, report: Report) -> Iterator[Drawn]:
    """A film of each model of the world, fetching their package when it is not in the cache.

    ValueError naming a model that is not in the package.
    """
    from PIL import Image

    with zipfile.ZipFile(fetch(MODELS, cache, report) / LIBRARY) as library:
        for number, (name, model) in enumerate(world.models.items()):
            report("models", number, len(world.models))
            folder = f"blendswap-cc-0/{model}/"
            if f"{folder}{model}.obj" not in library.namelist():
                raise ValueError(f"models: {model!r} of {name!r} is not in {Path(LIBRARY).name}")
            mesh = read_mesh(f"{model}.obj", lambda file, folder=folder: library.read(folder + file))
            turns = [render(mesh, 360 * view / VIEWS, PITCH, OVER * cell) for view in range(VIEWS)]
            yield film_of(f"model/{name}", name, [Image.fromarray(turn).reduce(OVER) for turn in turns], cell)
    report("models", len(world.models), len(world.models))

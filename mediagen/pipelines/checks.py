"""What may be asked of any model: every refusal is one ValueError that names the value and what would be right."""

from collections.abc import Sequence
from typing import Any

from ..errors import first_line
from ..families.model import Model
from ..generators.diffusion import Walk

PUBLISHED = {"name": "Published"}  # the timing of the model itself, as its checkpoint has it
LARGEST = 4096  # pixels a side
AXES = ("frames", "pixels high", "pixels wide")  # the last ones of media of fewer


def check_walk(model: Model, walk: Walk) -> None:
    """Refuse what this model cannot walk."""
    check_second(model, walk)
    if (walk.loop or walk.window) and model.hears is not None:
        given = "loop" if walk.loop else "window"
        raise ValueError(f"the model {model.name} makes a clip and its sound at once: leave out {given}")
    if walk.loop and model.shown is not None:
        raise ValueError(f"the model {model.name} is shown what has a place: it makes no loops")
    if walk.loop and model.widened is not None and walk.eta != 0:
        raise ValueError(f"the model {model.name} tells how wide noise is in its place: loops need eta=0")
    if walk.timing == PUBLISHED and model.schedule is None:
        raise ValueError(f"the model {model.name} was published with no schedule: name one of core.timing")


def check_second(model: Model, walk: Walk) -> None:
    """Refuse a second guidance that would begin nowhere, or a boundary of nothing."""
    second = f"guidance_2 ({walk.guidance_2}) is of a model of two networks; {model.name}"
    if walk.guidance_2 is None and walk.boundary is not None:
        said = f"boundary ({walk.boundary}) is the time below which guidance_2 is the scale"
        raise ValueError(f"{said}: give guidance_2 too, or leave boundary out")
    if walk.guidance_2 is not None and model.distilled:
        raise ValueError(f"{second} is told one guidance: leave guidance_2 out")
    if walk.guidance_2 is not None and walk.boundary is None and model.boundary is None:
        raise ValueError(f"{second} has one network: give the boundary, a time in 0 .. 1, too, or leave it out")


def check_size(size: Any, multiple: int) -> tuple[int, int]:
    """Pixels of a side, or (width, height) -> (width, height)."""
    size = (size, size) if isinstance(size, int) else tuple(size) if isinstance(size, (tuple, list)) else (size,)
    if len(size) != 2 or not all(isinstance(v, int) and 0 < v <= LARGEST and v % multiple == 0 for v in size):
        shown = "x".join(map(str, size))
        raise ValueError(f"size {shown} must be multiples of {multiple} from {multiple} to {LARGEST} pixels a side")
    return size[0], size[1]


def check_grid(model: Model, grid: Sequence[int], window: Sequence[int] = ()) -> None:
    """Refuse a grid that is larger, or is seen in larger windows, than the network has positions for."""
    for axis, most in enumerate(model.largest or ()):
        seen = min(grid[axis], window[axis]) if window else grid[axis]
        if most is not None and seen > most:
            asked, least = model.spec.covered(axis, seen), model.spec.covered(axis, most)
            what = AXES[-model.spec.dims :][axis]
            said = f"{asked} {what} are more than the network of {model.name} has positions for"
            raise ValueError(f"{said}, which is {least}: ask for less, or for smaller windows")


def failed(model: Model, grid: Sequence[int], error: Exception) -> ValueError:
    """What a walk with another's network ran into, in one line: the first of the error's own, which may say why, and
    how large what it made is, which may be why or not."""
    size, latents = ("x".join(map(str, sides)) for sides in (model.spec.size(grid), grid))
    cause = f"{type(error).__name__}: {first_line(error)}" if str(error) else type(error).__name__
    return ValueError(f"the walk of {model.name} failed: {cause} (making {size}, latents {latents})")

"""mediagen show and mediagen replay: what a file carries."""

from pathlib import Path
from typing import Annotated

import typer

from .terminal import check_writable, tell

File = Annotated[Path, typer.Argument(help="A picture or a clip made by mediagen.")]


def show(
    file: File,
    plot: Annotated[Path | None, typer.Option(help="Of a clip: write its waveform and spectrogram here.")] = None,
) -> None:
    """Print the request that a file carries, or draw any clip."""
    from rich import print_json

    from ..modalities import image as pictures
    from ..replaying import media_of, request_of

    if plot is None:
        print_json(request_of(file).to_json(), sort_keys=False)
        return
    if media_of(file) is pictures:
        raise ValueError(f"{file} is no clip by its ending: only sound has a plot")
    check_writable(plot, pictures.check_suffix)
    clip = media_of(file).load(file)
    clip.plot().save(plot)
    if clip.metadata:
        print_json(request_of(file).to_json(), sort_keys=False)
    tell(str(plot))


def replay(
    file: File,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Also write what was made again.")] = None,
    model: Annotated[str | None, typer.Option(help="The folder of its model, if it does not ship.")] = None,
) -> None:
    """Make a file again from its own metadata, and say whether its pixels or samples are equal."""
    from .. import replay as run
    from ..replaying import FULL_SCALE, media_of

    if out is not None:
        check_writable(out, media_of(file).check_suffix)
    result = run(file, model)
    if out is not None:
        result.result.save(out)
    if not result.same_model:
        tell(f"the model is another one than the file's ({result.request.model_hash})")
    if not result.equal:
        tell(f"not equal: {result.unit}s differ by up to {result.difference} of {FULL_SCALE[result.unit]}")
        raise typer.Exit(1)
    lossy = f" (the file's own differ by up to {result.difference}: lossy compression, or an edit)"
    tell(f"equal: every {result.unit} is the same" + (lossy if result.difference else ""))

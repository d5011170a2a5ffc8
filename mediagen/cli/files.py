"""mediagen show and mediagen replay: what a file carries."""

from pathlib import Path
from typing import Annotated

import typer

from .terminal import check_writable, tell

File = Annotated[Path, typer.Argument(help="A picture or a clip made by mediagen.")]


def show(
    file: File,
    plot: Annotated[
        Path | None, typer.Option(help="Write the waveform and spectrogram of a sound, some frames of a video, here.")
    ] = None,
) -> None:
    """Print the request that a file carries and the facts of a video, or draw any clip."""
    from rich import print_json

    from ..modalities import image as pictures
    from ..modalities import video as films
    from ..modalities import video_files
    from ..replaying import media_of, request_of

    modality, metadata = media_of(file), None
    if modality is films:
        stream = video_files.read(file)
        metadata = stream.metadata
        tell(films.describe(stream))
    if plot is not None:
        if modality is pictures:
            raise ValueError(f"{file} is a picture by its ending: only sound and video have a plot")
        check_writable(plot, pictures.check_suffix)
        clip = modality.load(file)
        metadata = clip.metadata
        (clip.sheet() if modality is films else clip.plot()).save(plot)
    if metadata or (plot is None and modality is not films):
        print_json(request_of(file).to_json(), sort_keys=False)
    if plot is not None:
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

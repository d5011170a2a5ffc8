"""Recipes: one YAML file each under configs/, read into these dataclasses and run by `run`."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .. import config
from ..autoencoders.conv import ConvVAEConfig
from ..autoencoders.preview import PreviewConfig
from ..conditioners.scalar import Scalar
from . import known
from .reconstruct import ReconstructionLoss
from .trainer import Progress, Schedule

SHIPPED_TEXT = str(Path(__file__).parents[1] / "weights" / "minilm")


@dataclass(frozen=True, kw_only=True)
class AutoencoderRecipe:
    """data: a built dataset, or a folder of pictures; crop: side of the random crops; init: weights to start from;
    decoder_only: keep the encoder, and so the latent space, as it is (a decoder that draws finer begins with the last
    layers of that of `init`); samples: held-out pictures that are reconstructed and measured at each checkpoint."""

    kind: str = "autoencoder"
    data: str
    crop: int = 64
    batch: int = 32
    init: str | None = None
    decoder_only: bool = False
    samples: int = 0
    model: ConvVAEConfig = field(default_factory=ConvVAEConfig)
    loss: ReconstructionLoss = field(default_factory=ReconstructionLoss)
    schedule: Schedule


@dataclass(frozen=True, kw_only=True)
class DenoiserRecipe:
    """modality: image, audio or video; data: a built dataset, or a folder of pictures, sounds or clips with captions;
    size: pixels a side that pictures and clips are fitted to; frames: of the stretches that are seen of clips, at
    `rate` frames a second (a built world has its own); stills: the share of the batches of clips that are pictures,
    clips of one frame: those of `pictures` (data of their own) or else first frames; known: the share of the batches in
    which some places are shown clean, and shown: how often which, such as {first: 3, ends: 1} ({}: `training.known`'s
    own shares); seconds: of the stretches that are seen of sounds, and shorter: the share of the batches that see half
    of that, so that a short grid is no surprise;
    vae: the autoencoder's weights, or null for training in pixel space; scalars: numbers of the data (of sounds:
    seconds, start; of clips: fps, motion) that the network is told; text: folder of the text encoder; backbone, model:
    the network and its sizes (`backbones`); path, prediction, density: names and options in `core`; dropout: share of
    captions, and numbers, that are dropped; alone: of networks that are shown a `context`, the share of stems that are
    learned without hearing what else plays, and free: of those that are shown the `beats`, the share of sounds that are
    learned without, and of clips the share whose motion is not told; repeat: how many times an epoch shows the scenes
    (single, pair, count), sounds (music, effect, stem) or clips (their kinds of motion) of a kind, 1 where nothing is
    said; compile: compile the transformer's blocks (needs a C++ compiler; 1.4 times the speed on two cores);
    samples: media of held-out captions that are made at each checkpoint; heldout: held-out examples whose loss is
    measured there; preview: weights of a preview decoder, for the model card."""

    kind: str = "denoiser"
    modality: str = "image"
    data: str
    size: int = 128
    frames: int = 17
    rate: float = 8.0
    stills: float = 0.0
    pictures: str | None = None
    known: float = 0.0
    shown: dict[str, float] = field(default_factory=dict)
    seconds: float = 10.0
    shorter: float = 0.0
    vae: str | None = None
    scalars: tuple[Scalar, ...] = ()
    text: str = SHIPPED_TEXT
    backbone: str = "dit"
    model: dict[str, Any] = field(default_factory=dict)
    path: dict[str, Any] = field(default_factory=lambda: {"name": "Flow"})
    prediction: str = "flow"
    density: dict[str, Any] = field(default_factory=lambda: {"name": "LogNormal"})
    dropout: float = 0.1
    alone: float = 0.3
    free: float = 0.4
    repeat: dict[str, int] = field(default_factory=dict)
    batch: int = 64
    init: str | None = None
    compile: bool = False
    samples: int = 0
    heldout: int = 0
    preview: str | None = None
    schedule: Schedule

    def __post_init__(self) -> None:
        for name in ("dropout", "alone", "free", "stills", "known"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is a share, from 0 to 1, not {getattr(self, name)}")
        known.checked(self.shown)
        if self.batch < 1 or self.size < 1 or self.samples < 0 or self.heldout < 0:
            raise ValueError("batch and size must be 1 or more, samples and heldout 0 or more")
        if not self.seconds > 0 or not 0 <= self.shorter <= 1:
            raise ValueError(f"seconds must be above 0 and shorter 0 to 1, not {self.seconds} and {self.shorter}")
        if "scalars" in self.model:
            raise ValueError("scalars stand beside the model in a recipe, not in it: the network takes their widths")

    @property
    def signals(self) -> Mapping[str, int]:
        """What the network is shown on the latent's own grid, name -> channels."""
        return self.model.get("signals", {})


@dataclass(frozen=True, kw_only=True)
class PreviewRecipe:
    """data: a built dataset, or a folder of pictures or clips, fitted to `size`; frames, rate: of clips, as in
    `DenoiserRecipe`; vae: the autoencoder whose latents are shown, and which says whether these are clips; samples:
    held-out pictures or clips that are shown at each checkpoint."""

    kind: str = "preview"
    data: str
    vae: str
    size: int = 128
    frames: int = 17
    rate: float = 8.0
    batch: int = 64
    samples: int = 0
    model: PreviewConfig = field(default_factory=PreviewConfig)
    schedule: Schedule


Recipe = AutoencoderRecipe | DenoiserRecipe | PreviewRecipe
KINDS: dict[str, type[Recipe]] = {
    "autoencoder": AutoencoderRecipe,
    "denoiser": DenoiserRecipe,
    "preview": PreviewRecipe,
}


def read(file: str | Path, kinds: Mapping[str, type] = KINDS) -> Any:
    """A recipe file; its key `kind` says which of `kinds` it is. ValueError for an unknown kind or key."""
    import yaml

    try:
        values = yaml.safe_load(Path(file).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ValueError(f"cannot read the recipe {file}: {error}") from error
    kind = values.get("kind") if isinstance(values, dict) else None
    if kind not in kinds:
        raise ValueError(f"{file}: kind is {kind!r}; it must be one of {', '.join(kinds)}")
    return config.build(kinds[kind], values, str(file))


def run(recipe: Recipe, out: Path) -> Iterator[Progress]:
    """Train what the recipe says into `out`, resuming what is there."""
    from . import run_autoencoder, run_denoiser, run_preview

    if isinstance(recipe, AutoencoderRecipe):
        return run_autoencoder.run(recipe, out)
    return (run_denoiser if isinstance(recipe, DenoiserRecipe) else run_preview).run(recipe, out)

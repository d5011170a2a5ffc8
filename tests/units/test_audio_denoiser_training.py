"""Training a denoiser of sounds: clips as examples, stretches of cached latents, numbers, whole runs."""

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from trained import losses, resumed_equals_straight

from mediagen import config
from mediagen.autoencoders.waveform import WaveformVAE, WaveformVAEConfig
from mediagen.autoencoders.whitened import Whitened
from mediagen.conditioners import beats
from mediagen.conditioners.scalar import Scalar
from mediagen.core.rng import Keyed
from mediagen.families import native
from mediagen.training import clips, medium, medium_audio, recipes, run_denoiser, weights
from mediagen.training.denoise import Conditioning
from mediagen.training.medium_audio import Sounds
from mediagen.training.ship import ship
from mediagen.training.spectral import si_sdr
from mediagen.training.trainer import Place, Schedule

RATE, STRIDE = 44_100, 64
SIZES = WaveformVAEConfig(
    n_fft=64,
    hop=32,
    latent_channels=4,
    strides=(1, 2),
    encoder_widths=(16, 16),
    encoder_depths=(0, 0),
    decoder_widths=(16, 16),
    decoder_depths=(0, 1),
)
DIT = {"channels": 4, "patch": [2], "width": 32, "depth": 1, "heads": 2, "hidden": 48}
UNET = {"dims": 1, "channels": 4, "widths": [16, 32], "depth": 1, "head": 16}
SCALARS = (
    Scalar(name="seconds", low=0.01, high=1, width=8, log=True),
    Scalar(name="start", low=0, high=1, width=8),
)
SHORT = {"warmup": 2, "checkpoint_every": 3, "log_every": 0}
HERE = Place(device=torch.device("cpu"))
WINDOW = 40  # latents, 0.058 s


def tone(hertz: float, samples: int) -> np.ndarray:
    """int16 [samples, 2]: a sine that is louder on the left."""
    wave = np.sin(2 * np.pi * hertz * np.arange(samples) / RATE)[:, None] * [16_000, 8_000]
    return wave.round().astype(np.int16)


def build(folder: Path, lengths: list[int]) -> None:
    """A split of a grooves set: clips of these lengths in samples, every third with a stem, the last one an effect."""
    (folder / "audio").mkdir(parents=True)
    lines, sounds, place = [], [], 0
    for i, samples in enumerate(lengths):
        tracks = {}
        for name in ("mix", "bass") if i % 3 == 0 else ("mix",):
            said = [f"a {'low' if i % 2 else 'high'} tone", "a tone"] if name == "mix" else ["bass only"]
            tracks[name] = {"start": place, "frames": samples, "lufs": -18.0, "captions": said}
            sounds.append(tone(500 if i % 2 else 4000, samples) // (1 if name == "mix" else 2))
            place += samples
        kind = "effect" if i == len(lengths) - 1 else "music"
        lines.append(json.dumps({"truth": {"kind": kind}, "chunk": 0, "tracks": tracks}) + "\n")
    np.save(folder / "audio" / "00000.npy", np.concatenate(sounds))
    (folder / "clips.jsonl").write_text("".join(lines))
    (folder / "progress").write_text(str(len(lengths)))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("grooves")
    build(folder / "train", [6400, 1000, 2560, 5000, 900])
    build(folder / "heldout", [3000, 1500])
    return folder


@pytest.fixture(scope="module")
def vae(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights that let every latent feel all that it can reach, whitened on tones."""
    torch.manual_seed(0)
    made = WaveformVAE(SIZES)
    for p in made.parameters():
        if p.ndim > 1:
            torch.nn.init.normal_(p, std=p[0].numel() ** -0.5)
    sound = torch.from_numpy(np.stack([tone(h, 6400).T for h in (500, 4000)])).float() / 32767
    made.frames.measure([sound])
    with torch.no_grad():
        z = made.encoder(sound)[0]
    made.mean.copy_(z.mean((0, 2)))
    made.std.copy_(z.std((0, 2)))
    file = tmp_path_factory.mktemp("vae") / "vae.safetensors"
    weights.save(file, made.state_dict(), {"kind": "waveform_vae", "config": config.plain(SIZES)})
    return file


def denoiser(data: Path, vae: Path | None, **changes: object) -> recipes.DenoiserRecipe:
    given = {"modality": "audio", "data": str(data), "seconds": WINDOW * STRIDE / RATE, "batch": 4, "model": DIT}
    given |= {"vae": None if vae is None else str(vae), "scalars": SCALARS, "schedule": Schedule(steps=6, **SHORT)}
    return recipes.DenoiserRecipe(**given | changes)


def sounds(data: Path, vae: Path, **changes: object) -> Sounds:
    made = medium.find(denoiser(data, vae, **changes), weights.load_autoencoder(vae), 2, HERE)
    assert isinstance(made, Sounds)
    return made


# Clips


def test_every_mix_and_stem_of_a_built_set_is_a_clip_with_its_captions(data: Path) -> None:
    found = clips.source(data, "train", RATE)
    assert [found.length(i) for i in range(len(found))] == [6400, 6400, 1000, 2560, 5000, 5000, 900]
    assert [found.kind(i) for i in range(len(found))] == ["music", "stem", "music", "music", "music", "stem", "effect"]
    assert found.captions(0) == ("a high tone", "a tone") and found.captions(1) == ("bass only",)
    part = found.read(1, 100, 50)
    assert part.shape == (2, 50) and part.dtype == np.float32
    assert np.array_equal(part, (tone(4000, 6400) // 2)[100:150].T.astype(np.float32) / 32767)
    with pytest.raises(ValueError, match="has sounds of 44100 Hz, and 32000 Hz are wanted"):
        clips.source(data, "train", 32_000)


def test_a_folder_of_ones_own_with_captions(tmp_path: Path, vae: Path) -> None:
    """What a run keeps below it does not hide the sounds from the next one."""
    soundfile = pytest.importorskip("soundfile")
    for name in ("one", "two"):
        soundfile.write(tmp_path / f"{name}.flac", tone(700, 2000), RATE)
    (tmp_path / "one.txt").write_text("a tone\na sine\n")
    with pytest.raises(ValueError, match=r"two.flac has no caption: two.txt is missing"):
        clips.source(tmp_path, "train", RATE).captions(1)
    (tmp_path / "two.txt").write_text("another tone")
    for _ in range(2):
        found = sounds(tmp_path, vae)
        assert found.captions(0) == ("a tone", "a sine") and len(found) == 2
        assert found.heldout(3).captions == ["a tone", "another tone", "a tone"]


# What plays beside a stem


def test_a_stem_is_learned_beside_the_rest_of_its_mix(data: Path, vae: Path, tmp_path: Path) -> None:
    """Clips 0 and 3 have a bass; mix less bass is what it hears, in the same stretch; nothing else hears anything."""
    found = sounds(data, vae, model=DIT | {"signals": {"context": 4}}, alone=0.0)
    plain = sounds(data, vae)
    assert found.of_rest == {1: 0, 5: 1} and plain.signals(plain.cuts(np.arange(2), draw())) == {}
    coder, rests = weights.load_autoencoder(vae), clips.Rests(found.clips)
    assert np.array_equal(
        rests.read(5, 0, 5000), ((tone(500, 5000).astype(np.int32) - tone(500, 5000) // 2).T / 32767).astype(np.float32)
    )
    cuts = found.cuts(np.array([5, 0, 1, 6]), draw())
    shown = found.signals(cuts)["context"]
    assert shown.shape == (4, 4, WINDOW) and not shown[1].any() and not shown[3].any()
    samples = clips.stretch(rests, 5, 0, (100 + 2 * coder.encoder_reach) * STRIDE)
    own = coder.encode(torch.from_numpy(samples)[None])[0, :, cuts[0].start : cuts[0].start + WINDOW]
    assert torch.allclose(shown[0], own, atol=2e-3 * float(own.abs().max()))
    lonely = sounds(data, vae, model=DIT | {"signals": {"context": 4}}, alone=1.0)
    assert not lonely.signals(lonely.cuts(np.array([5, 1]), draw()))["context"].any()
    soundfile = pytest.importorskip("soundfile")
    soundfile.write(tmp_path / "one.flac", tone(700, 2000), RATE)
    with pytest.raises(ValueError, match="holds no stems to accompany anything with"):
        sounds(tmp_path, vae, model=DIT | {"signals": {"context": 4}})


def test_beats_are_shown_where_a_clip_has_them(data: Path, vae: Path) -> None:
    """What is shown of a stretch is that part of its clip's beats; nothing to free sounds and those without a beat."""
    model = DIT | {"signals": {"beats": beats.CHANNELS}}
    found = sounds(data, vae, model=model, free=0.0)
    known = dataclasses.replace(found, clips=Timed(found.clips))
    cuts = known.cuts(np.array([5, 0, 3]), draw())
    shown, step = known.signals(cuts)["beats"], STRIDE / RATE
    whole = beats.Beats(bpm=120).signal(0.0, step, 4 * WINDOW)
    assert torch.allclose(shown[1], whole[:, cuts[1].start : cuts[1].start + WINDOW], atol=1e-6)
    assert not shown[0].any() and not found.signals(cuts)["beats"].any()
    free = sounds(data, vae, model=model, free=1.0)
    unheard = dataclasses.replace(free, clips=Timed(free.clips))
    assert not unheard.signals(free.cuts(np.arange(3), draw()))["beats"].any()
    with pytest.raises(ValueError, match=r"signals of the channels \{'beats': 3\}; those of sounds are .*12"):
        sounds(data, vae, model=DIT | {"signals": {"beats": 3}})


class Timed:
    """Clips of which the first four have beats of half a second."""

    def __init__(self, inner: clips.Clips) -> None:
        self.inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def __len__(self) -> int:
        return len(self.inner)

    def beat(self, i: int) -> float | None:
        return 0.5 if i < 4 else None


def draw() -> np.random.Generator:
    return np.random.default_rng(0)


# Latents and stretches


def whole(found: Sounds, vae: Whitened, i: int, count: int) -> Tensor:
    """The first `count` latents [C, count] of clip i and the silence behind it, encoded at once, far from any end."""
    samples = clips.stretch(found.clips, i, 0, (count + 2 * vae.encoder_reach) * STRIDE)
    return vae.encode(torch.from_numpy(samples)[None])[0, :, :count]


def test_a_stretch_is_what_the_clip_and_silence_behind_it_are_encoded_to(
    data: Path, vae: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To float16, at whatever place, the end and what follows it included; and it is encoded once."""
    found, opened = sounds(data, vae), weights.load_autoencoder(vae)
    places = [(0, 0), (0, 60), (2, 0), (3, 0), (6, 0)]
    cuts = [medium_audio.Cut(clip=i, start=start, count=WINDOW) for i, start in places]
    x0, numbers = found.states(cuts)
    assert x0.shape == (5, 4, WINDOW)
    for z, (i, start) in zip(x0, places, strict=True):
        exact = whole(found, opened, i, start + WINDOW)[:, start:]
        assert (z - exact).abs().max() < 2e-3 * exact.abs().max()
    assert torch.allclose(x0[4][:, -5:], torch.from_numpy(found.silence)[:, None].expand(-1, 5))
    assert numbers["seconds"] == pytest.approx([n / RATE for n in (6400, 6400, 1000, 2560, 900)])
    assert numbers["start"] == pytest.approx([0, 60 * STRIDE / RATE, 0, 0, 0])
    monkeypatch.setattr(medium_audio, "followed", None)
    assert torch.equal(sounds(data, vae).states(cuts)[0], x0)


def test_stretches_lie_in_their_clips_and_are_functions_of_the_seed(data: Path, vae: Path) -> None:
    found = sounds(data, vae)
    chosen = np.repeat(np.arange(7), 100)
    one, two = (found.cuts(chosen, np.random.default_rng(3)) for _ in range(2))
    assert one == two and {cut.count for cut in one} == {WINDOW}
    starts = np.array([cut.start for cut in one]).reshape(7, 100)
    assert starts[0].max() == 100 - WINDOW and starts.min() == 0  # 6400 samples are 100 latents
    assert not starts[[2, 3, 6]].any()  # none is longer than the stretch
    assert 5 < (starts[0] == 0).sum() < 30 and 5 < (starts[0] == 60).sum() < 30
    assert len(set(starts[0])) > 30


def test_some_batches_see_half(data: Path, vae: Path) -> None:
    found = sounds(data, vae, shorter=0.5)
    counts = [{cut.count for cut in found.cuts(np.arange(7), np.random.default_rng(i))} for i in range(40)]
    assert all(len(c) == 1 for c in counts) and set.union(*counts) == {WINDOW, WINDOW // 2}
    odd = sounds(data, vae, shorter=0.5, seconds=29.5 * STRIDE / RATE)  # 30 latents, whose half is no multiple of 2
    assert odd.window == 32


def test_kinds_of_sounds_are_repeated(data: Path, vae: Path) -> None:
    assert sounds(data, vae, repeat={"effect": 3}).epoch().tolist() == [0, 1, 2, 3, 4, 5, 6, 6, 6]
    with pytest.raises(ValueError, match=r"kinds are \['effect', 'music', 'stem'\]"):
        sounds(data, vae, repeat={"song": 2}).epoch()


# Conditions


class Words:
    """A text encoder that hears nothing."""

    def __call__(self, prompts: list[str]) -> dict[str, Tensor]:
        return self.null(len(prompts), 8)

    def null(self, n: int, length: int | None = None) -> dict[str, Tensor]:
        mask = torch.ones(n, length or 2, dtype=torch.bool)
        return {"text": torch.zeros(n, length or 2, 3), "text_mask": mask, "text_pooled": torch.zeros(n, 3)}


class Words384(Words):
    def null(self, n: int, length: int | None = None) -> dict[str, Tensor]:
        return {k: v if v.dtype == torch.bool else F.pad(v, (0, 381)) for k, v in super().null(n, length).items()}


def test_numbers_are_conditions_and_their_null_is_zeros() -> None:
    condition = Conditioning(text=Words(), scalars=SCALARS)
    cond, null = condition(["a", "b"], {"seconds": [0.1, 0.5], "start": [0.0, 0.2]}), condition.null(2, 8)
    assert cond.keys() == null.keys() and {name: cond[name].shape for name in cond} == {k: null[k].shape for k in null}
    for scalar in SCALARS:
        assert not null[scalar.name].any() and cond[scalar.name].abs().sum(1).min() > 1
    with pytest.raises(ValueError, match=r"seconds must lie in 0.01..1, got 2"):
        condition(["a"], {"seconds": [2.0], "start": [0.0]})


# Runs


@pytest.mark.parametrize("backbone", ["dit", "unet"])
def test_a_resumed_run_has_the_same_losses(backbone: str, data: Path, vae: Path, tmp_path: Path) -> None:
    """With long and short stretches, and captions and numbers dropped."""
    sizes = DIT if backbone == "dit" else UNET
    resumed_equals_straight(denoiser(data, vae, backbone=backbone, model=sizes, shorter=0.5, dropout=0.5), tmp_path)


def test_a_small_set_is_learned(data: Path, vae: Path, tmp_path: Path) -> None:
    """Tones are far easier than noise: the loss of a network that says nothing is the energy of its goal."""
    schedule = Schedule(steps=60, lr=6e-3, warmup=5, checkpoint_every=60, log_every=0, precision="no")
    told = [step["denoiser/loss"] for step in losses(denoiser(data, vae, batch=16, schedule=schedule), tmp_path)]
    assert np.mean(told[-10:]) < 0.6 * np.mean(told[:3])


@pytest.fixture(scope="module")
def trained(data: Path, vae: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("trained")
    losses(denoiser(data, vae, schedule=Schedule(steps=6, lr=0.01, **SHORT)), out)
    return out


def test_a_trained_network_learns_to_accompany_and_begins_as_it_was(
    data: Path, vae: Path, trained: Path, tmp_path: Path
) -> None:
    more = denoiser(
        data, vae, model=DIT | {"signals": {"context": 4}}, init=str(trained / "denoiser.safetensors"), alone=0.0
    )
    before, after = run_denoiser.start(dataclasses.replace(more, model=DIT)), run_denoiser.start(more)
    cond = Conditioning(text=Words384(), scalars=SCALARS)(["a"], {"seconds": [0.1], "start": [0.0]})
    x, t = Keyed(seed=0, samples=[0])(0, torch.empty(1, 4, WINDOW)), torch.tensor([0.4])
    assert torch.equal(before(x, t, cond), after(x, t, {**cond, "context": x}))
    losses(dataclasses.replace(more, schedule=Schedule(steps=6, lr=0.01, **SHORT)), tmp_path)
    model = native.load(tmp_path)
    assert model.signals == {"context": 4} and not native.load(trained).signals
    assert not torch.equal(model.denoiser(x, t, {**cond, "context": x}), model.denoiser(x, t, cond))


def test_a_run_is_a_model_of_sound(data: Path, vae: Path, trained: Path) -> None:
    model = native.load(trained)
    assert (model.modality, model.rate, model.scalars) == ("audio", RATE, SCALARS)
    assert model.seconds == pytest.approx(WINDOW * STRIDE / RATE)
    assert model.multiple == 2 * STRIDE and model.size == (WINDOW * STRIDE,)
    sound = torch.from_numpy(clips.stretch(clips.source(data, "train", RATE), 0, 0, 640))[None]
    original = weights.load_autoencoder(vae)
    assert torch.equal(model.autoencoder.encode(sound), original.encode(sound))
    assert model.autoencoder.decode(model.autoencoder.encode(sound)).shape == sound.shape


def test_numbers_act_on_a_trained_model_and_batches_do_not(trained: Path) -> None:
    """In each row of a batch what it is alone; the null says nothing of length or place."""
    model = native.load(trained)
    condition = Conditioning(text=model.text, scalars=model.scalars)
    x, t = Keyed(seed=0, samples=[0, 1])(0, torch.empty(2, 4, WINDOW)), torch.tensor([0.4, 0.8])
    cond = condition(["a tone", "a low tone"], {"seconds": [0.05, 0.1], "start": [0.0, 0.05]})
    both = model.denoiser(x, t, cond)
    for i in range(2):
        alone = model.denoiser(x[i : i + 1], t[i : i + 1], {name: v[i : i + 1] for name, v in cond.items()})
        assert torch.allclose(alone[0], both[i], atol=1e-5)
    for number, values in (("seconds", [0.5, 0.1]), ("start", [0.3, 0.05])):
        scalar = next(s for s in model.scalars if s.name == number)
        moved = (model.denoiser(x, t, {**cond, **scalar(values)}) - both).abs().amax((1, 2))
        assert moved[0] > 1e-6 and moved[1] < 1e-6
        assert not torch.equal(model.denoiser(x, t, {**cond, **scalar.null(2)}), both)


def test_a_card_whose_scalars_are_not_the_networks_is_refused(trained: Path, tmp_path: Path) -> None:
    import yaml

    for file in trained.glob("*.safetensors"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    card = yaml.safe_load((trained / "card.yaml").read_text())
    card |= {"autoencoder": str((trained / card["autoencoder"]).resolve())}
    for wrong in (card["scalars"][:1], []):
        (tmp_path / "card.yaml").write_text(yaml.safe_dump(card | {"scalars": wrong}))
        with pytest.raises(ValueError, match=r"its denoiser was made for \{'seconds': 8, 'start': 8\}"):
            native.load(tmp_path)
    (tmp_path / "card.yaml").write_text(yaml.safe_dump({k: v for k, v in card.items() if k != "rate"}))
    with pytest.raises(ValueError, match="lacks rate"):
        native.load(tmp_path)


def test_a_run_lets_one_hear_what_it_makes(data: Path, vae: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    import soundfile
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    schedule = Schedule(steps=2, warmup=1, checkpoint_every=2, log_every=1)
    losses(denoiser(data, vae, samples=3, heldout=2, schedule=schedule), tmp_path)
    assert sorted(f.name for f in (tmp_path / "samples").iterdir()) == ["samples-000002.flac", "samples-000002.png"]
    heard, rate = soundfile.read(tmp_path / "samples" / "samples-000002.flac")
    assert heard.shape == (3 * WINDOW * STRIDE, 2) and rate == RATE
    events = EventAccumulator(str(tmp_path / "events"))
    events.Reload()
    assert events.Tags()["audio"] == ["samples/0", "samples/1", "samples/2"]
    assert [e.step for e in events.Scalars("heldout/loss")] == [2]


def test_what_does_not_fit_is_named(data: Path, vae: Path, tmp_path: Path, tiny_model: Path) -> None:
    tempo = Scalar(name="tempo", low=50, high=200)
    pictures = tiny_model / "vae.safetensors"
    wrong = [
        (denoiser(data, None), "vae is None; sounds need an autoencoder of sound"),
        (denoiser(data, vae, modality="smell"), "unknown modality 'smell'; known: image, audio"),
        (
            denoiser(data, vae, scalars=(tempo,)),
            "unknown scalar 'tempo'; the numbers of audio data are: seconds, start",
        ),
        (
            denoiser(data, vae, scalars=(dataclasses.replace(SCALARS[0], high=0.1),)),
            r"seconds must lie in .* got 0.145",
        ),
        (denoiser(data, vae, model=DIT | {"channels": 8}), r"\(1, 8\); those of .* have \(1, 4\)"),
        (denoiser(data, pictures, model=DIT | {"patch": [2, 2]}), "sounds need an autoencoder of sound"),
        (denoiser(tmp_path / "nothing", vae), "data folder .*nothing is missing"),
    ]
    for recipe, message in wrong:
        with pytest.raises(ValueError, match=message):
            losses(recipe, tmp_path / "out")
    with pytest.raises(ValueError, match="scalars stand beside the model"):
        denoiser(data, vae, model=DIT | {"scalars": {"seconds": 8}})
    with pytest.raises(ValueError, match="seconds must be above 0"):
        denoiser(data, vae, seconds=0.0)


def test_half_precision_keeps_an_autoencoder_of_sound(vae: Path, tmp_path: Path) -> None:
    """Weights, scales of the frames and whitening in float16: the same latents, and the same sound, to 50 dB."""
    (shipped,) = ship([vae.parent], tmp_path)
    one, half = weights.load_autoencoder(vae), weights.load_autoencoder(shipped)
    sound = torch.from_numpy(tone(700, 6400).T.astype(np.float32) / 32767)[None]
    z = one.encode(sound)
    assert decibels(half.encode(sound), z) > 50
    assert si_sdr(half.decode(z), one.decode(z)) > 50
    assert si_sdr(half.decode(half.encode(sound)), one.decode(z)) > 45


def decibels(made: Tensor, real: Tensor) -> float:
    """Signal to error."""
    return 10 * math.log10(real.square().mean() / (made - real).square().mean())

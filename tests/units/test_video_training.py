"""Training on clips: pieces of them, the autoencoder and where it begins, its journal, whole runs."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from trained import losses, resumed_equals_straight

import mediagen
from mediagen import config
from mediagen.autoencoders.causal import VideoVAE, VideoVAEConfig
from mediagen.autoencoders.conv import ConvVAE, ConvVAEConfig
from mediagen.autoencoders.preview import PreviewConfig
from mediagen.backbones.dit import DiT, DiTConfig
from mediagen.conditioners import motion
from mediagen.conditioners.scalar import Scalar
from mediagen.core import denoiser as core
from mediagen.core import path as paths
from mediagen.families import native
from mediagen.modalities.image import Image
from mediagen.training import (
    denoise,
    medium,
    recipes,
    run_denoiser,
    run_preview,
    run_video_autoencoder,
    videos,
    weights,
)
from mediagen.training.known import drawn
from mediagen.training.medium_video import Cut, Films
from mediagen.training.reconstruct import ReconstructionLoss, changes, edges, flicker
from mediagen.training.run_video_autoencoder import VideoAutoencoderRecipe
from mediagen.training.trainer import Place, Schedule

FRAMES = ConvVAEConfig(
    latent_channels=4, encoder_widths=(8, 16), encoder_depths=(0, 1), decoder_widths=(8, 16), decoder_depths=(0, 1)
)
SIZES = VideoVAEConfig(frames=FRAMES, encoder_times=((), (2,)), decoder_times=((), (2,)))
SHORT = {"warmup": 2, "checkpoint_every": 3, "log_every": 0}


def moving(rng: np.random.Generator, frames: int, size: int = 32) -> np.ndarray:
    """uint8 [F, H, W, 3]: a square in one colour that goes to the right over another."""
    ground, colour = rng.integers(256, size=(2, 3))
    clip = np.broadcast_to(ground, (frames, size, size, 3)).astype(np.uint8)
    y, x = rng.integers(size // 2, size=2)
    for number, frame in enumerate(clip):
        frame[y : y + 8, x + number : x + number + 8] = colour
    return clip


def build(folder: Path, count: int, frames: int = 9) -> None:
    """A split of a built motion world; every third clip spins, as far as it tells."""
    (folder / "frames").mkdir(parents=True)
    rng = np.random.default_rng(count)
    np.save(folder / "frames" / "00000.npy", np.stack([moving(rng, frames) for _ in range(count)]))
    lines = [
        {"captions": [f"square {i} moves right", "a square"], "truth": {"kind": "move" if i % 3 else "spin"}}
        for i in range(count)
    ]
    (folder / "clips.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "progress").write_text(str(count))
    about = {"format": "mediagen motion", "motion": {"rate": 8, "frames": frames, "size": 32}}
    (folder.parent / "world.json").write_text(json.dumps(about))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("motion")
    build(folder / "train", 10)
    build(folder / "heldout", 4)
    return folder


@pytest.fixture(scope="module")
def vae(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("vae")
    losses(autoencoder(data), out)
    return out / "vae.safetensors"


def autoencoder(data: Path, **changes: object) -> VideoAutoencoderRecipe:
    given = {"data": str(data), "frames": 5, "crop": 16, "batch": 2, "stills": 0.4, "model": SIZES}
    return VideoAutoencoderRecipe(**given | {"schedule": Schedule(steps=6, **SHORT)} | changes)


# Clips


def test_pieces_of_clips_in_space_and_time(data: Path) -> None:
    clips = videos.source(data, "train", 32, 8)
    assert len(clips) == 10 and clips.rate == 8 and clips.kind(0) == "spin" and clips.kind(1) == "move"
    pieces = videos.crops(clips, np.random.default_rng(0), 6, 5, 16)
    assert pieces.shape == (6, 3, 5, 16, 16) and pieces.abs().max() <= 1
    again = videos.crops(clips, np.random.default_rng(0), 6, 5, 16)
    assert torch.equal(pieces, again)
    lively = videos.crops(clips, np.random.default_rng(0), 64, 5, 16, tries=6)
    assert changes(lively) > 1.3 * changes(videos.crops(clips, np.random.default_rng(0), 64, 5, 16))
    assert torch.equal(videos.whole(clips, [0, 10], 9)[0], videos.whole(clips, [10], 9)[0])
    small = videos.source(data, "train", 16, 8)
    means = clips[3].reshape(9, 16, 2, 16, 2, 3).mean((2, 4))
    assert np.abs(small[3] - means).max() <= 0.5 and small.captions(3) == clips.captions(3) and small.kind(1) == "move"
    with pytest.raises(ValueError, match="clips are 32x32; size 24"):
        videos.source(data, "train", 24, 8)
    with pytest.raises(ValueError, match="10 frames of 16 pixels a side do not fit into clips of 9 32x32"):
        videos.check_crop(clips, 10, 16)
    with pytest.raises(ValueError, match="nowhere is missing"):
        videos.source(data / "nowhere", "train", 32, 8)


def test_stretches_lie_end_to_end() -> None:
    assert videos.starts(17, 17) == [0] and videos.starts(20, 17) == [0]
    assert videos.starts(33, 17) == [0, 16] and videos.starts(50, 17) == [0, 16, 33]
    with pytest.raises(ValueError, match="16 frames; 17 are needed"):
        videos.starts(16, 17)


def test_a_folder_of_ones_own(tmp_path: Path) -> None:
    from mediagen.modalities.video import Video

    for name in ("one", "two"):
        Video(moving(np.random.default_rng(1), 12, 48), 12.0).save(tmp_path / f"{name}.gif")
        (tmp_path / f"{name}.txt").write_text(f"{name} square\n")
    clips = videos.source(tmp_path, "train", 32, 6)
    assert len(clips) == 2 and clips[0].shape == (6, 32, 32, 3) and clips.captions(1) == ("two square",)
    assert clips.rate == 6


def test_strength_of_motion() -> None:
    still, frames = np.zeros((5, 8, 8, 3), np.uint8), moving(np.random.default_rng(3), 9)
    assert motion.strength(still) == 0 == motion.strength(still[:1])
    once, fast = motion.strength(frames), motion.strength(frames[::2])
    assert 0 < once < fast < 1
    half = np.zeros((2, 2, 2, 3), np.uint8)
    half[1, 0] = 51  # half of the places by a fifth
    assert motion.strength(half) == pytest.approx(1 - np.exp(-0.1 / 0.02))


# Losses


def test_what_is_counted_over_time() -> None:
    x = torch.zeros(1, 3, 4, 8, 8)
    x[:, :, 1::2] = 0.5  # every other frame is brighter
    assert changes(x) == pytest.approx(0.5) and flicker(x) == pytest.approx(1.0)
    ramp = torch.linspace(0, 1, 4).view(1, 1, 4, 1, 1).expand_as(x)
    assert flicker(ramp) < 1e-6 < changes(ramp)
    assert changes(x[:, :, :1]) == 0 and edges(x[:, :, :1]) == 0 and edges(x) == pytest.approx(0.5 / 3)
    loss = ReconstructionLoss(flicker=2.0)
    mean = torch.zeros(1, 4, 2, 1, 1)
    terms = loss.terms(x, torch.zeros_like(x), mean, mean)
    assert terms["flicker"] == changes(x)
    assert "flicker" not in ReconstructionLoss().terms(x[:, :, 0], x[:, :, 0], mean[:, :, 0], mean[:, :, 0])


# Runs


def test_a_resumed_autoencoder_has_the_same_losses(data: Path, tmp_path: Path) -> None:
    """Clips and stills, and an adversary that judges frames."""
    loss = ReconstructionLoss(flicker=0.5, adversarial=0.1, adversarial_start=2)
    resumed_equals_straight(autoencoder(data, loss=loss), tmp_path)


def test_a_trained_autoencoder_opens(vae: Path) -> None:
    found = weights.load_autoencoder(vae)
    assert isinstance(found, VideoVAE) and found.config == SIZES and found.spec.stride == (2, 8, 8)
    assert float(found.std.min()) > 0 and not torch.equal(found.std, torch.ones(4))


def test_it_begins_with_the_weights_of_images_or_of_clips(data: Path, vae: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    image = ConvVAE(FRAMES).requires_grad_(False)
    image.mean.uniform_(-1, 1)
    weights.save(tmp_path / "image.safetensors", image.state_dict(), {"kind": "conv_vae"})
    began, _ = run_video_autoencoder.start(autoencoder(data, init=str(tmp_path / "image.safetensors")))
    x = torch.rand(2, 3, 1, 16, 16) * 2 - 1
    assert torch.allclose(began.encode(x)[:, :, 0], image.encode(x[:, :, 0]), atol=1e-5)
    z = torch.randn(2, 4, 1, 2, 2)
    assert torch.allclose(began.decode(z)[:, :, 0], image.decode(z[:, :, 0]), atol=1e-5)
    again, _ = run_video_autoencoder.start(autoencoder(data, init=str(vae)))
    assert torch.equal(again.encode(x), weights.load_autoencoder(vae).encode(x))


@pytest.mark.parametrize("kind", ["images", "clips"])
def test_more_latent_channels_change_nothing_at_first(kind: str, data: Path, vae: Path, tmp_path: Path) -> None:
    init, wide = vae, dataclasses.replace(SIZES, frames=dataclasses.replace(FRAMES, latent_channels=6))
    if kind == "images":
        init = tmp_path / "image.safetensors"
        weights.save(init, ConvVAE(FRAMES).state_dict(), {"kind": "conv_vae"})
    recipe = autoencoder(data, init=str(init), model=wide, loss=ReconstructionLoss(drift=1.0))
    began, known = run_video_autoencoder.start(recipe)
    few, _ = run_video_autoencoder.start(autoencoder(data, init=str(init)))
    x, z = torch.rand(2, 3, 5, 16, 16) * 2 - 1, torch.randn(2, 6, 3, 2, 2)
    with torch.no_grad():
        assert known == 4 and torch.allclose(began.encode(x)[:, :4], few.encode(x), atol=1e-5)
        assert began.encode(x)[:, 4:].std() > 0.01
        assert torch.allclose(began.decode(z), few.decode(z[:, :4]), atol=1e-5)
    told = [step["vae/drift"] for step in losses(recipe, tmp_path / "run")]
    assert told[0] == 0 < told[-1]
    trained = weights.load(tmp_path / "run" / "vae.safetensors")[0]["decoder.layers.0.weight"]
    assert trained[:, 4:].abs().max() > 0


def test_a_decoder_of_another_size_takes_the_layers_that_fit(data: Path, tmp_path: Path) -> None:
    """Of an autoencoder of images that draws finer than it sees: its encoder, and the last layers of its decoder."""
    finer = ConvVAEConfig(
        latent_channels=4,
        encoder_widths=(8, 16),
        encoder_depths=(0, 1),
        decoder_widths=(8, 16, 24),
        decoder_depths=(0, 1, 1),
        decoder_strides=(4, 2, 2),
    )
    image = ConvVAE(finer)
    weights.save(tmp_path / "image.safetensors", image.state_dict(), {"kind": "conv_vae"})
    began, _ = run_video_autoencoder.start(autoencoder(data, init=str(tmp_path / "image.safetensors")))
    theirs, mine = image.decoder.state_dict(), began.decoder.state_dict()
    added = len(image.decoder.layers) - len(began.decoder.layers)
    assert torch.equal(mine["layers.2.conv.weight"][:, :, 0], theirs[f"layers.{2 + added}.conv.weight"])
    assert torch.equal(began.encoder.layers[0].conv.weight[:, :, 0], image.encoder.layers[0].conv.weight)
    other = ConvVAE(ConvVAEConfig(latent_channels=4, encoder_widths=(8, 24)))
    weights.save(tmp_path / "other.safetensors", other.state_dict(), {"kind": "conv_vae"})
    with pytest.raises(ValueError, match=r"encoder of .*other.safetensors is not that of the recipe"):
        run_video_autoencoder.start(autoencoder(data, init=str(tmp_path / "other.safetensors")))
    weights.save(tmp_path / "reader.safetensors", {"a": torch.zeros(1)}, {"kind": "reader"})
    with pytest.raises(ValueError, match="holds a 'reader'; it must be an autoencoder of clips or of images"):
        run_video_autoencoder.start(autoencoder(data, init=str(tmp_path / "reader.safetensors")))


def test_a_decoder_alone_keeps_the_latents(data: Path, vae: Path, tmp_path: Path) -> None:
    losses(autoencoder(data, init=str(vae), decoder_only=True), tmp_path)
    before, after = weights.load(vae)[0], weights.load(tmp_path / "vae.safetensors")[0]
    assert all(torch.equal(before[k], after[k]) for k in before if not k.startswith("decoder"))
    assert any(not torch.equal(before[k], after[k]) for k in before if k.startswith("decoder"))


def test_whitened_latents_have_the_levels_of_the_recipe(data: Path, tmp_path: Path) -> None:
    schedule = Schedule(steps=2, **SHORT)
    losses(autoencoder(data, levels=(1.0, 0.5), schedule=schedule), tmp_path)
    clips = videos.source(str(data), "train", 16, 8)
    z = weights.load_autoencoder(tmp_path / "vae.safetensors").encode(videos.whole(clips, range(len(clips)), 5))
    first, second = z.transpose(0, 1).flatten(1).std(1).chunk(2)
    assert torch.allclose(first, torch.ones_like(first), atol=0.2) and torch.allclose(second, first * 0.5, atol=0.1)
    for wrong in ((), (1.0, 0.0), (1.0, 1.0, 1.0)):
        with pytest.raises(ValueError, match="must be above 0, and of equal parts of all 4 channels"):
            autoencoder(data, levels=wrong)


def test_a_run_shows_frames_and_measures_flicker(data: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    schedule = Schedule(steps=2, warmup=1, checkpoint_every=2, log_every=1)
    losses(autoencoder(data, samples=3, schedule=schedule), tmp_path)
    events = EventAccumulator(str(tmp_path / "events"))
    events.Reload()
    assert {"heldout/psnr", "heldout/flicker", "heldout/flicker-real"} <= set(events.Tags()["scalars"])
    assert [f.name for f in (tmp_path / "samples").iterdir()] == ["reconstructed-000002.png"]


def test_pieces_are_of_clips_of_their_own_size(data: Path) -> None:
    small, whole = (autoencoder(data, stills=0.0, **k) for k in ({}, {"size": 32, "tries": 2}))
    drawn = [run_video_autoencoder.drawn(r, videos.source(r.data, "train", r.size or 16, 8)) for r in (small, whole)]
    made = [torch.cat([draw(step) for step in range(8)]).transpose(1, 4).flatten(1, 3) for draw in drawn]
    blended = [sum(len(piece.unique(dim=0)) > 2 for piece in pieces) for pieces in made]  # a clip has two colours
    assert blended[0] > 0 == blended[1]
    with pytest.raises(ValueError, match="tries must be 1 or more, not 0"):
        autoencoder(data, tries=0)


def test_wrong_recipes_are_named(data: Path) -> None:
    with pytest.raises(ValueError, match=r"frames and crop are 6 and 16; the model needs 1 \+ a multiple of 2"):
        autoencoder(data, frames=6)
    with pytest.raises(ValueError, match="stills must be from 0 to 1"):
        autoencoder(data, stills=2.0)
    with pytest.raises(ValueError, match="name them as init"):
        autoencoder(data, decoder_only=True)


def test_the_recipe_is_known(data: Path, tmp_path: Path) -> None:
    values = config.plain(autoencoder(data))
    (tmp_path / "r.yaml").write_text(json.dumps(values))
    assert recipes.read(tmp_path / "r.yaml", run_video_autoencoder.KINDS) == autoencoder(data)


# A denoiser of clips

DIT = {"channels": 4, "patch": [1, 2, 2], "width": 32, "depth": 2, "heads": 2, "hidden": 48}
SCALARS = (Scalar(name="fps", low=1, high=60, width=8, log=True), Scalar(name="motion", low=0, high=1, width=8))
HERE = Place(device=torch.device("cpu"))


@pytest.fixture(scope="module")
def stills(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures of scenes, as `data.stored.Scenes` reads them."""
    folder = tmp_path_factory.mktemp("scenes")
    for split, count in (("train", 6), ("heldout", 2)):
        part = folder / split
        part.mkdir()
        np.save(
            part / "images.npy", np.random.default_rng(count).integers(256, size=(count, 32, 32, 3), dtype=np.uint8)
        )
        line = json.dumps({"captions": ["a plain wall", "a wall"], "truth": {}}) + "\n"
        (part / "scenes.jsonl").write_text(line * count)
        (part / "progress").write_text(str(count))
    return folder


def denoiser(data: Path, vae: Path | None, **changes: object) -> recipes.DenoiserRecipe:
    given = {"modality": "video", "data": str(data), "size": 32, "frames": 5, "batch": 4, "model": DIT}
    given |= {"vae": None if vae is None else str(vae), "scalars": SCALARS, "schedule": Schedule(steps=6, **SHORT)}
    return recipes.DenoiserRecipe(**given | changes)


def films(data: Path, vae: Path, **changes: object) -> Films:
    found = medium.find(denoiser(data, vae, **changes), weights.load_autoencoder(vae), 2, HERE)
    assert isinstance(found, Films)
    return found


def draw(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_stretches_have_latents_of_their_own(data: Path, vae: Path) -> None:
    """Two of 5 frames in a clip of 9, each encoded from its own first frame; and that is done once."""
    found, opened = films(data, vae, free=0.0), weights.load_autoencoder(vae)
    assert len(found) == 20 and found.stretches[:3] == [(0, 0), (0, 4), (1, 0)]
    x0, numbers = found.states(found.cuts(np.array([3, 0]), draw()))
    assert x0.shape == (2, 4, 3, 4, 4)
    clip = found.clips[1][4:9]
    exact = opened.encode(videos.scaled(np.array(clip)[None]))[0]
    assert (x0[0] - exact).abs().max() < 2e-3 * exact.abs().max()
    assert numbers["fps"] == [8.0, 8.0] and numbers["motion"][0] == pytest.approx(motion.strength(clip), abs=1e-3)
    assert found.captions(3) == found.clips.captions(1)
    assert torch.equal(films(data, vae).states(found.cuts(np.array([3, 0]), draw()))[0], x0)
    names = sorted(f.name.split("-")[0] for f in (data / "train").glob("*.npy"))
    assert names == ["latents", "motion"]
    assert np.bincount(films(data, vae, repeat={"spin": 3}).epoch()).tolist() == [3, 3, 1, 1, 1, 1] * 3 + [3, 3]


def test_stills_are_seen_among_clips(data: Path, vae: Path, stills: Path) -> None:
    """Pictures with captions of their own, or first frames; of neither is told how it moves."""
    plain = films(data, vae, stills=1.0)
    cuts = plain.cuts(np.array([3, 0]), draw())
    x0, numbers = plain.states(cuts)
    assert x0.shape == (2, 4, 1, 4, 4) and [plain.example(cut) for cut in cuts] == [3, 0]
    assert torch.equal(x0, plain.states([Cut(example=3), Cut(example=0)])[0][:, :, :1])
    assert numbers == {"fps": [None, None], "motion": [None, None]}
    found = films(data, vae, stills=1.0, pictures=str(stills))
    assert len(found) == 26 and len(found.epoch()) == 20
    cuts = found.cuts(np.array([3, 0]), draw())
    assert all(found.captions(found.example(cut)) == ("a plain wall", "a wall") for cut in cuts)
    picture = found.pictures.images(found.example(cuts[0]) - 20)
    exact = weights.load_autoencoder(vae).encode(videos.scaled(np.array(picture)[None, None]))[0]
    assert (found.states(cuts)[0][0] - exact).abs().max() < 2e-3 * exact.abs().max()
    seen = [films(data, vae, stills=0.5).cuts(np.arange(4), draw(k))[0].still for k in range(100)]
    assert 35 < sum(seen) < 65


def test_numbers_that_are_not_told_are_zeros(data: Path, vae: Path) -> None:
    from test_training import Words

    condition = denoise.Conditioning(text=Words(), scalars=SCALARS)
    cond = condition(["a", "b"], {"fps": [8.0, None], "motion": [None, 0.5]})
    null = condition.null(2, 4)
    assert torch.equal(cond["fps"][1], null["fps"][1]) and torch.equal(cond["motion"][0], null["motion"][0])
    assert torch.equal(cond["motion"][1], SCALARS[1]([0.5])["motion"][0])
    free = films(data, vae, free=0.5).states(films(data, vae, free=0.5).cuts(np.arange(20), draw()))[1]["motion"]
    assert 3 < free.count(None) < 17


def test_places_that_are_known() -> None:
    """Whole tokens, never all, often the first frame alone; a picture has a hole only."""
    known = drawn(draw(), (5, 8, 8), (1, 2, 2), 400)
    assert known.shape == (400, 1, 5, 8, 8) and not known.flatten(1).all(1).any() and known.flatten(1).any(1).all()
    cells = known.unflatten(3, (4, 2)).unflatten(5, (4, 2))
    assert torch.equal(cells.float().amax((4, 6)), cells.float().amin((4, 6)))
    moments = known.flatten(3).all(3)[:, 0]
    only = (moments == torch.tensor([True, False, False, False, False])).all(1).float().mean()
    assert 0.35 < only < 0.55  # alone, and sometimes as the first few
    between = (moments == torch.tensor([True, False, False, False, True])).all(1).float().mean()
    assert 0.1 < between < 0.2
    hole = ~drawn(draw(), (8, 8), (), 50)[:, 0]
    sides = [(int(h.any(1).sum()), int(h.any(0).sum())) for h in hole]
    assert {side for pair in sides for side in pair} <= set(range(2, 7)) and hole.sum((1, 2)).tolist() == [
        a * b for a, b in sides
    ]
    assert not drawn(draw(), (2, 1, 1), (), 50).flatten(1).all(1).any()
    firsts = drawn(draw(), (5, 8, 8), (1, 2, 2), 50, {"first": 1.0})
    assert firsts[:, :, 0].all() and not firsts[:, :, 1:].any()
    assert torch.equal(drawn(draw(5), (9,), (), 4), drawn(draw(5), (9,), (), 4))


@pytest.mark.parametrize("shares", [{"start": 1.0}, {"first": -1.0}, {"first": 0.0}])
def test_shares_of_what_is_shown_are_checked(data: Path, vae: Path, shares: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="shown: "):
        denoiser(data, vae, shown=shares)


def test_what_is_known_has_no_noise_and_no_loss() -> None:
    x0, eps = torch.randn(2, 4, 3, 4, 4), torch.randn(2, 4, 3, 4, 4)
    known = torch.zeros(2, 1, 3, 4, 4, dtype=torch.bool)
    known[:, :, 0] = True
    seen = {}

    class Net(torch.nn.Module):
        def forward(self, x: torch.Tensor, t: torch.Tensor, cond: object) -> torch.Tensor:
            seen.update(x=x, t=t)
            return torch.zeros_like(x)

    t, where = denoise.shown_clean(torch.tensor([0.3, 0.9]), known, x0)
    model = core.Denoiser(Net(), paths.Flow(), "flow")
    losses_ = core.loss(model, x0, eps, t, {}, where)
    assert torch.equal(seen["x"][:, :, 0], x0[:, :, 0]) and (seen["t"][:, :, 0] == 0).all()
    assert torch.allclose(seen["t"][:, :, 1:].amax((1, 2, 3, 4)), torch.tensor([0.3, 0.9]))
    assert torch.allclose(losses_, (eps - x0)[:, :, 1:].square().mean((1, 2, 3, 4)), rtol=1e-5)
    every = core.loss(model, x0, eps, torch.tensor([0.3, 0.9]), {})
    assert torch.allclose(core.loss(model, x0, eps, torch.tensor([0.3, 0.9]), {}, torch.ones_like(known)), every)


def test_a_resumed_denoiser_has_the_same_losses(data: Path, vae: Path, stills: Path, tmp_path: Path) -> None:
    recipe = denoiser(data, vae, stills=0.3, known=0.5, pictures=str(stills))
    resumed_equals_straight(recipe, tmp_path)


def test_a_run_is_a_model_of_clips(data: Path, vae: Path, tmp_path: Path) -> None:
    """What training wrote opens, with its scalars, and makes clips; held-out samples are shown."""
    pytest.importorskip("tensorboard")
    schedule = Schedule(steps=2, warmup=1, checkpoint_every=2, log_every=1)
    losses(denoiser(data, vae, known=0.5, samples=2, heldout=3, schedule=schedule), tmp_path)
    assert sorted(f.name for f in (tmp_path / "samples").iterdir()) == ["samples-000002.gif", "samples-000002.png"]
    card = (tmp_path / "card.yaml").read_text()
    assert "modality: video" in card and "known: true" in card and "rate: 8.0" in card
    model = native.load(tmp_path)
    assert model.modality == "video" and model.rate == 8 and model.seconds == 5 / 8 and model.size == (32, 32)
    assert model.multiple == 16 and model.spec.causal and [s.name for s in model.scalars] == ["fps", "motion"]
    clip = mediagen.load(tmp_path).generate("a square moves right", steps=2, seed=1)
    assert clip.count == 5 and clip.size == (32, 32) and clip.rate == 8
    picture = Image.from_tensor(torch.zeros(3, 32, 32))
    assert mediagen.load(tmp_path).generate("a square", first=picture, motion=0.3, steps=2, seed=1).count == 5


def test_what_does_not_fit_is_named(data: Path, vae: Path, stills: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="vae is None; clips need an autoencoder of clips"):
        losses(denoiser(data, None), tmp_path)
    with pytest.raises(ValueError, match=r"size \(4, 32, 32\) is not 1 \+ a multiple of 2 in time"):
        films(data, vae, frames=4)
    with pytest.raises(ValueError, match="a clip has 9 frames; 11 are needed"):
        films(data, vae, frames=11)
    with pytest.raises(ValueError, match=r"fps must lie in 10\.\.60"):
        films(data, vae, scalars=(Scalar(name="fps", low=10, high=60, width=8),))
    with pytest.raises(ValueError, match="stills is a share"):
        denoiser(data, vae, stills=2.0)


# Previews


@pytest.mark.parametrize("frames", [1, 2])
def test_a_preview_of_clips_learns(frames: int, data: Path, vae: Path, tmp_path: Path) -> None:
    recipe = recipes.PreviewRecipe(
        data=str(data),
        vae=str(vae),
        size=32,
        frames=5,
        batch=8,
        samples=2,
        model=PreviewConfig(dims=3, latent_channels=4, width=16, frames=frames),
        schedule=Schedule(steps=25, lr=0.01, warmup=2, checkpoint_every=25, log_every=0, precision="no"),
    )
    told = losses(recipe, tmp_path)
    assert told[-1]["preview/loss"] < 0.7 * told[0]["preview/loss"]
    preview = native.load_preview(tmp_path / "preview.safetensors")
    z = torch.randn(1, 4, 3, 4, 4)
    shown = preview(z)
    assert shown.shape == (1, 3, 1 + 2 * frames, 16, 16)
    assert torch.allclose(preview(z[:, :, :2]), shown[:, :, : 1 + frames], atol=1e-5)
    assert (tmp_path / "samples" / "previews-000025.png").exists()
    for wrong in ({"dims": 3}, {"dims": 3, "frames": 3}):
        with pytest.raises(ValueError, match=r"must divide the autoencoder's stride \(2, 8, 8\)"):
            losses(dataclasses.replace(recipe, model=PreviewConfig(latent_channels=4, **wrong)), tmp_path / "wrong")
    with pytest.raises(ValueError, match="dims is 2, the autoencoder has 3"):
        losses(dataclasses.replace(recipe, model=PreviewConfig(latent_channels=4)), tmp_path / "wrong")
    with pytest.raises(ValueError, match="0 unless dims is 3, not 2"):
        PreviewConfig(frames=2)


def test_a_denoiser_of_fewer_latent_channels_is_a_start(tmp_path: Path) -> None:
    sizes = {"patch": (1, 2, 2), "text": 8, "width": 32, "depth": 1, "heads": 2, "hidden": 32}
    few, many = (DiT(DiTConfig(channels=n, **sizes)) for n in (4, 6))
    for value in few.parameters():
        torch.nn.init.normal_(value, std=0.1)
    weights.save(tmp_path / "few.safetensors", few.state_dict(), {"kind": "denoiser"})
    run_denoiser.begin(many, str(tmp_path / "few.safetensors"))
    x, t, text = torch.randn(2, 6, 3, 4, 4), torch.tensor([0.2, 0.8]), torch.randn(2, 5, 8)
    cond = {"text": text, "text_mask": torch.ones(2, 5, dtype=torch.bool), "text_pooled": text.mean(1)}
    y = many(x, t, cond)
    assert torch.allclose(y[:, :4], few(x[:, :4], t, cond), atol=1e-5)
    y[:, 4:].square().mean().backward()
    new = many.patch_embed.weight.unflatten(1, (6, 4)), many.head.weight.unflatten(0, (6, 4))
    assert new[0][:, 4:].abs().max() == 0 and new[1][4:].abs().amin() > 0
    gradients = many.patch_embed.weight.grad.unflatten(1, (6, 4)), many.head.weight.grad.unflatten(0, (6, 4))
    assert gradients[0][:, 4:].abs().amax(0).min() > 0 and gradients[1][4:].abs().amax(1).min() > 0
    weights.save(tmp_path / "many.safetensors", many.state_dict(), {"kind": "denoiser"})
    with pytest.raises(ValueError, match="does not fit into"):
        run_denoiser.begin(few, str(tmp_path / "many.safetensors"))


def test_drift_is_held_on_first_latents(data: Path, vae: Path, tmp_path: Path) -> None:
    """Exactly nothing at the start; and a resumed run holds on to what `init` says, not to what it had become."""
    recipe = autoencoder(data, init=str(vae), loss=ReconstructionLoss(drift=1.0))
    told = [step["vae/drift"] for step in losses(recipe, tmp_path / "one")]
    assert told[0] == 0 and all(drift > 0 for drift in told[1:])
    resumed_equals_straight(recipe, tmp_path)


# The recipes of mini-video

CONFIGS = Path(__file__).parents[2] / "configs"


@pytest.mark.parametrize(
    ("name", "grid", "channels"),
    [("vae-pieces", (3, 4, 4), 32), ("vae", (5, 8, 8), 32), ("decoder", (5, 8, 8), 32), ("vae-128", (5, 8, 8), 16)],
)
def test_recipes_of_autoencoders_are_read(name: str, grid: tuple[int, ...], channels: int) -> None:
    recipe = recipes.read(CONFIGS / f"mini-video-{name}.yaml", run_video_autoencoder.KINDS)
    with torch.device("meta"):
        vae = VideoVAE(recipe.model)
    assert vae.spec.grid((recipe.frames, recipe.crop, recipe.crop)) == grid and vae.spec.channels == channels


def test_recipes_fit_each_other() -> None:
    vae = VideoVAE(recipes.read(CONFIGS / "mini-video-vae.yaml", run_video_autoencoder.KINDS).model)
    for name in ("mini-video", "mini-video-unet"):
        recipe = recipes.read(CONFIGS / f"{name}.yaml")
        model = run_denoiser.fresh(recipe)
        run_denoiser.check_latents(recipe, model, vae)
        assert (recipe.frames, recipe.size) == (17, 64) and not 8 % model.net.config.multiple
    preview = recipes.read(CONFIGS / "mini-video-preview.yaml")
    assert run_preview.shrinks(preview.model, vae.spec) == (4, 2, 2)


def test_mini_image_is_a_start_for_mini_video() -> None:
    """On a picture, told no numbers, they are one network."""
    recipe = dataclasses.replace(recipes.read(CONFIGS / "mini-video.yaml"), compile=False)
    shipped = Path(recipes.__file__).parents[1] / "weights" / "mini-image" / "denoiser.safetensors"
    assert Path(recipe.init).parts[-3:] == shipped.parts[-3:]
    began = run_denoiser.start(dataclasses.replace(recipe, init=str(shipped))).eval()
    image = native.load_denoiser(shipped)[0]
    x, t = torch.randn(2, 32, 8, 8), torch.tensor([0.2, 0.8])
    cond = {"text": torch.randn(2, 5, 384), "text_mask": torch.ones(2, 5, dtype=torch.bool)}
    cond["text_pooled"] = cond["text"].mean(1)
    told = {scalar.name: torch.randn(2, scalar.width) for scalar in recipe.scalars}  # not learned yet
    with torch.no_grad():
        assert torch.allclose(began(x[:, :, None], t, cond | told)[:, :16, 0], image(x[:, :16], t, cond), atol=1e-3)

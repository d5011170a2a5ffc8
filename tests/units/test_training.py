"""Training: the same losses after a resume, whole files or none, and what a run leaves behind."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from trained import losses, resumed_equals_straight

from mediagen.autoencoders.conv import ConvVAEConfig
from mediagen.autoencoders.preview import PreviewConfig
from mediagen.core import path, timing
from mediagen.data.stored import Scenes
from mediagen.training import checkpoint, denoise, pictures, recipes, weights
from mediagen.training.ema import EMA
from mediagen.training.journal import Journal, contact_sheet
from mediagen.training.latents import cached, file_of
from mediagen.training.optim import Muon, orthogonalise, parameter_groups
from mediagen.training.reconstruct import ReconstructionLoss
from mediagen.training.ship import ship
from mediagen.training.texts import stored
from mediagen.training.trainer import Place, Player, Schedule, train

SIZES = ConvVAEConfig(
    latent_channels=4, encoder_widths=(8, 16), encoder_depths=(1, 0), decoder_widths=(8, 16), decoder_depths=(0, 1)
)
DIT = {"channels": 4, "patch": [2, 2], "width": 32, "depth": 1, "heads": 2, "hidden": 48}
TEXT = Path(recipes.__file__).parents[1] / "weights" / "minilm"
SHORT = {"warmup": 2, "checkpoint_every": 3, "log_every": 0}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A built data set of 32-pixel scenes in one colour each."""
    folder = tmp_path_factory.mktemp("data")
    for split, count in (("train", 24), ("heldout", 8)):
        rng = np.random.default_rng(count)
        colours = rng.integers(256, size=(count, 1, 1, 3))
        part = folder / split
        part.mkdir()
        noise = rng.integers(-5, 6, size=(count, 32, 32, 3))
        np.save(part / "images.npy", np.clip(colours + noise, 0, 255).astype(np.uint8))
        line = json.dumps({"captions": ["a plain wall", "a wall"], "truth": {}}) + "\n"
        (part / "scenes.jsonl").write_text(line * count)
        (part / "progress").write_text(str(count))
    return folder


@pytest.fixture(scope="module")
def vae(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("vae")
    losses(autoencoder(data), out)
    return out / "vae.safetensors"


def autoencoder(data: Path, **changes: object) -> recipes.AutoencoderRecipe:
    schedule = Schedule(steps=6, **SHORT)
    return recipes.AutoencoderRecipe(
        **{"data": str(data), "crop": 16, "batch": 4, "model": SIZES, "schedule": schedule} | changes
    )


def denoiser(data: Path, vae: Path | None, **changes: object) -> recipes.DenoiserRecipe:
    given = {"data": str(data), "size": 32, "vae": None if vae is None else str(vae), "model": DIT, "batch": 4}
    return recipes.DenoiserRecipe(**given | {"schedule": Schedule(steps=6, **SHORT)} | changes)


def test_a_resumed_autoencoder_with_its_adversary_has_the_same_losses(data: Path, tmp_path: Path) -> None:
    loss = ReconstructionLoss(adversarial=0.1, adversarial_start=2)
    resumed_equals_straight(autoencoder(data, loss=loss), tmp_path)


def test_a_resumed_denoiser_has_the_same_losses(data: Path, vae: Path, tmp_path: Path) -> None:
    resumed_equals_straight(denoiser(data, vae), tmp_path)


def test_a_finished_run_does_nothing(data: Path, vae: Path, tmp_path: Path) -> None:
    losses(denoiser(data, vae), tmp_path)
    assert losses(denoiser(data, vae), tmp_path) == []


def test_a_checkpoint_of_another_recipe_is_refused(data: Path, vae: Path, tmp_path: Path) -> None:
    losses(denoiser(data, vae), tmp_path)
    with pytest.raises(ValueError, match="made by another recipe"):
        losses(denoiser(data, vae, model=DIT | {"depth": 2}), tmp_path)
    with pytest.raises(ValueError, match=r"last.pt holds \['denoiser'\], this recipe trains \['vae'\]"):
        losses(autoencoder(data), tmp_path)


def test_a_run_is_a_model(data: Path, vae: Path, tmp_path: Path) -> None:
    """Latents and pixels, transformer and U-Net: `mediagen.load` opens what training wrote."""
    import mediagen

    losses(denoiser(data, vae), tmp_path / "latent")
    unet = {"channels": 3, "widths": [16, 32], "depth": 1, "head": 16}
    losses(denoiser(data, None, backbone="unet", model=unet), tmp_path / "pixel")
    for name in ("latent", "pixel"):
        assert "text: null" in (tmp_path / name / "card.yaml").read_text()  # the one that ships, wherever that lies
        picture = mediagen.load(tmp_path / name).generate("a wall", steps=2, seed=1)
        assert picture.size == (32, 32)


def test_a_run_keeps_a_journal(data: Path, vae: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    schedule = Schedule(steps=4, warmup=1, checkpoint_every=2, log_every=1)
    told = losses(denoiser(data, vae, samples=3, heldout=4, schedule=schedule), tmp_path)
    events = EventAccumulator(str(tmp_path / "events"))
    events.Reload()
    written = [e.value for e in events.Scalars("denoiser/loss")]
    assert written == pytest.approx([step["denoiser/loss"] for step in told])
    assert [e.step for e in events.Scalars("heldout/loss")] == [2, 4]
    assert sorted(f.name for f in (tmp_path / "samples").iterdir()) == ["samples-000002.png", "samples-000004.png"]


def test_a_decoder_alone_keeps_the_latents(data: Path, vae: Path, tmp_path: Path) -> None:
    losses(autoencoder(data, init=str(vae), decoder_only=True), tmp_path)
    before, after = weights.load(vae)[0], weights.load(tmp_path / "vae.safetensors")[0]
    assert all(torch.equal(before[k], after[k]) for k in before if not k.startswith("decoder"))
    assert any(not torch.equal(before[k], after[k]) for k in before if k.startswith("decoder"))


def test_a_finer_decoder_is_trained_on_the_latents_that_are_there(data: Path, vae: Path, tmp_path: Path) -> None:
    """The encoder sees 8 of 16 pixels, the new decoder draws 16; nothing of the encoder or the whitening changes."""
    finer = {"decoder_strides": (4, 2, 2), "decoder_widths": (8, 16, 16), "decoder_depths": (0, 1, 0)}
    recipe = autoencoder(data, init=str(vae), decoder_only=True, model=dataclasses.replace(SIZES, **finer))
    told = losses(dataclasses.replace(recipe, schedule=Schedule(steps=30, **SHORT)), tmp_path)
    assert told[-1]["vae/absolute"] < told[0]["vae/absolute"]
    before, after = weights.load(vae)[0], weights.load(tmp_path / "vae.safetensors")[0]
    assert all(torch.equal(before[k], after[k]) for k in before if not k.startswith("decoder"))


def test_a_preview_learns(data: Path, vae: Path, tmp_path: Path) -> None:
    recipe = recipes.PreviewRecipe(
        data=str(data),
        vae=str(vae),
        size=32,
        batch=8,
        model=PreviewConfig(latent_channels=4, width=16),
        schedule=Schedule(steps=30, lr=5e-3, warmup=1, precision="no", log_every=0),
    )
    told = losses(recipe, tmp_path)
    assert told[-1]["preview/loss"] < 0.7 * told[0]["preview/loss"]
    with pytest.raises(ValueError, match="latent_channels is 16, the autoencoder has 4"):
        losses(dataclasses.replace(recipe, model=PreviewConfig()), tmp_path / "other")


def test_wrong_files_and_folders_are_named(data: Path, vae: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"nowhere.safetensors cannot be read"):
        losses(denoiser(data, tmp_path / "nowhere.safetensors"), tmp_path)
    with pytest.raises(ValueError, match=r"data folder .*nothing is missing"):
        losses(denoiser(tmp_path / "nothing", vae), tmp_path)
    with pytest.raises(ValueError, match=r"crop 64 does not fit into the pictures \(32x32\)"):
        losses(autoencoder(data, crop=64), tmp_path)
    with pytest.raises(ValueError, match="pictures are 32x32; size 24"):
        losses(denoiser(data, vae, size=24), tmp_path)
    with pytest.raises(ValueError, match="decoder_only keeps the encoder"):
        losses(autoencoder(data, decoder_only=True), tmp_path)
    with pytest.raises(ValueError, match="unknown timing"):
        losses(denoiser(data, vae, density={"name": "Normal"}), tmp_path)


def test_a_loss_that_is_no_number_stops_the_run(tmp_path: Path) -> None:
    net = nn.Linear(2, 2)
    player = Player(name="net", module=net, loss=lambda step: {"loss": net.weight.sum() * float("nan")})
    with pytest.raises(ValueError, match="loss of net became nan at step 0"):
        list(train([player], Schedule(steps=2, precision="no"), tmp_path))


def test_the_schedule_rises_stays_and_falls() -> None:
    schedule = Schedule(steps=100, lr=1.0, warmup=10, cooldown=0.5)
    rates = [schedule.rate(i) for i in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert set(rates[9:50]) == {1.0}
    assert rates[-1] == pytest.approx(0.02)
    with pytest.raises(ValueError, match="precision is 'half'"):
        Schedule(steps=1, precision="half")


def test_processes_share_a_batch() -> None:
    rows, device = list(range(8)), torch.device("cpu")
    shares = [Place(device=device, rank=r, world=4).share(rows) for r in range(4)]
    assert sorted(row for share in shares for row in share) == rows
    with pytest.raises(ValueError, match="batch of 8 cannot be shared evenly by 3"):
        Place(device=device, world=3).share(rows)


def test_muon_minimises_a_quadratic() -> None:
    torch.manual_seed(0)
    net, goal = nn.Sequential(nn.Linear(16, 24), nn.Linear(24, 16)), torch.randn(64, 16)
    x = torch.randn(64, 16)
    optimizer = Muon(parameter_groups(net), lr=0.02)
    errors = []
    for step in range(150):
        for group in optimizer.param_groups:
            group["lr"] = 0.02 * (1 - step / 150)
        optimizer.zero_grad()
        error = (net(x) - goal).square().mean()
        error.backward()
        optimizer.step()
        errors.append(error.item())
    best = (x @ torch.linalg.lstsq(x, goal).solution - goal).square().mean()
    assert errors[-1] < 1.1 * best < 0.7 * errors[0]


def test_orthogonalised_matrices_have_singular_values_of_about_one() -> None:
    values = torch.linalg.svdvals(orthogonalise(torch.randn(24, 40)))
    assert values.min() > 0.5
    assert values.max() < 1.4


def test_embeddings_heads_and_vectors_stay_with_adamw() -> None:
    net = nn.ModuleDict({"patch_embed": nn.Linear(32, 32), "hidden": nn.Linear(32, 32), "head": nn.Linear(32, 32)})
    matrices, others = parameter_groups(net)
    assert [p is net["hidden"].weight for p in matrices["params"]] == [True]
    assert len(others["params"]) == 5


def test_the_average_follows_the_weights() -> None:
    net = nn.Linear(2, 2)
    ema = EMA(net, decay=0.9)
    with torch.no_grad():
        net.weight.fill_(1.0)
    for step in range(200):
        ema.update(net, step)
    assert torch.allclose(ema.weights["weight"], net.weight, atol=1e-6)
    with pytest.raises(ValueError, match="another network"):
        ema.load_state_dict({"other": torch.zeros(1)})


def test_a_checkpoint_is_whole_or_the_old_one(tmp_path: Path) -> None:
    file = tmp_path / "last.pt"
    checkpoint.save(file, {"step": 1})

    class Unwritable:
        def __reduce__(self) -> None:
            raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        checkpoint.save(file, {"step": Unwritable()})
    assert checkpoint.load(file) == {"step": 1}
    assert [f.name for f in tmp_path.iterdir()] == ["last.pt"]
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(ValueError, match=r"last.pt is not a readable checkpoint"):
        checkpoint.load(file)


def test_weights_come_back_with_their_header(tmp_path: Path) -> None:
    tensors = {"a": torch.randn(3, 4), "n": torch.arange(3)}
    weights.save(tmp_path / "w.safetensors", tensors, {"kind": "toy", "sizes": [1, 2]})
    again, about = weights.load(tmp_path / "w.safetensors")
    assert about == {"kind": "toy", "sizes": [1, 2]}
    assert all(torch.equal(tensors[k], again[k]) for k in tensors)
    weights.save(tmp_path / "half.safetensors", tensors, {}, dtype=torch.float16)
    assert torch.equal(weights.load(tmp_path / "half.safetensors")[0]["a"], tensors["a"].half().float())


def test_int8_rounds_each_row_by_its_own_scale(tmp_path: Path) -> None:
    kernel = torch.randn(8, 16, 3, 3) * torch.logspace(-6, 3, 8).view(-1, 1, 1, 1)
    tensors = {"k": kernel, "bias": torch.randn(8), "narrow": torch.randn(4, 8), "n": torch.arange(3)}
    tensors["empty"] = torch.zeros(2, 64)
    weights.save(tmp_path / "w.safetensors", tensors, {}, dtype=torch.int8)
    again, _ = weights.load(tmp_path / "w.safetensors")
    assert again.keys() == tensors.keys() and all(v.dtype == tensors[k].dtype for k, v in again.items())
    half_a_step = kernel.abs().amax((1, 2, 3), keepdim=True) / 254
    assert torch.all((again["k"] - kernel).abs() <= half_a_step * (1 + 1e-5))
    assert all(torch.equal(again[k], tensors[k].half().float()) for k in ("bias", "narrow", "empty"))
    assert (tmp_path / "w.safetensors").stat().st_size < kernel.numel() * 1.1 + 1500


def test_what_ships_is_the_last_of_its_name_or_the_mean(tmp_path: Path) -> None:
    for number, name in enumerate(("one", "two")):
        tensors = {"a": torch.full((2, 2), float(number)), "n": torch.tensor([number])}
        weights.save(tmp_path / name / "vae.safetensors", tensors, {"step": number})
    runs = [tmp_path / "one", tmp_path / "two"]
    for mean, value in ((False, 1.0), (True, 0.5)):
        [file] = ship(runs, tmp_path / "out", mean=mean)
        found, about = weights.load(file)
        assert torch.equal(found["a"], torch.full((2, 2), value)) and int(found["n"]) == about["step"] == 1
    weights.save(tmp_path / "two" / "vae.safetensors", {"a": torch.zeros(3)}, {})
    with pytest.raises(ValueError, match="not weights of one network"):
        ship(runs, tmp_path / "out", mean=True)
    with pytest.raises(ValueError, match=r"holds none of denoiser.safetensors, vae.safetensors"):
        ship([tmp_path], tmp_path / "out")


def test_broken_weights_are_named(tmp_path: Path) -> None:
    file = tmp_path / "w.safetensors"
    weights.save(file, {"weight": torch.zeros(4, 4)}, {"kind": "toy"})
    with pytest.raises(ValueError, match=r"w.safetensors do not fit"):
        weights.fill(nn.Linear(4, 3, bias=False), file)
    file.write_bytes(file.read_bytes()[:-10])
    with pytest.raises(ValueError, match=r"w.safetensors cannot be read"):
        weights.load(file)


class Words:
    """A text encoder of one number a prompt; the empty prompt is 0."""

    def __call__(self, prompts: Sequence[str]) -> dict[str, Tensor]:
        states = torch.tensor([[[float(len(p))] * 3] * 4 for p in prompts])
        return {"text": states, "text_mask": torch.ones(len(prompts), 4, dtype=torch.bool), "text_pooled": states[:, 0]}

    def null(self, n: int, length: int) -> dict[str, Tensor]:
        mask = torch.zeros(n, length, dtype=torch.bool)
        return {"text": torch.zeros(n, length, 3), "text_mask": mask, "text_pooled": torch.zeros(n, 3)}


def test_dropped_rows_are_the_null_condition_and_others_stay() -> None:
    text, dropped = Words(), torch.tensor([True, False, True])
    cond = text(["one", "three", "fives"])
    mixed = denoise.drop(cond, text.null, dropped)
    null = text.null(3, 4)
    for name in cond:
        assert torch.equal(mixed[name][1], cond[name][1])
        assert torch.equal(mixed[name][dropped], null[name][dropped])


def test_text_is_padded_to_few_lengths() -> None:
    padded = denoise.rounded(Words()(["a", "b"]), to=8)
    assert padded["text"].shape == (2, 8, 3)
    assert padded["text_mask"].sum() == 8


def test_stratified_numbers_lie_one_in_each_part() -> None:
    u = denoise.stratified(16, torch.Generator().manual_seed(0))
    assert sorted((u * 16).long().tolist()) == list(range(16))
    assert not torch.equal(u, u.sort().values)


def test_every_epoch_shows_each_picture_once() -> None:
    seen = np.concatenate([denoise.shuffled(7, step, 5, 10) for step in range(6)])
    for epoch in seen.reshape(3, 10):
        assert sorted(epoch) == list(range(10))
    assert not np.array_equal(seen[:10], seen[10:20])
    assert np.array_equal(denoise.shuffled(7, 3, 5, 10), seen[15:20])


def test_scenes_of_a_kind_are_repeated(data: Path, tmp_path: Path) -> None:
    for name in ("images.npy", "progress"):
        (tmp_path / name).write_bytes((data / "heldout" / name).read_bytes())
    truths = [
        {"relation": {"name": "above"}, "count": 2},
        {"relation": None, "count": 3},
        {"relation": None, "count": 1},
    ]
    lines = [json.dumps({"captions": ["a wall"], "truth": truths[i % 3]}) + "\n" for i in range(8)]
    (tmp_path / "scenes.jsonl").write_text("".join(lines))
    scenes = Scenes(tmp_path)
    assert [scenes.kind(i) for i in range(3)] == ["pair", "count", "single"]
    assert pictures.repeated(scenes, {}).tolist() == list(range(8))
    epoch = pictures.repeated(pictures.fitted(scenes, 8), {"pair": 3})
    assert epoch.tolist() == [0, 0, 0, 1, 2, 3, 3, 3, 4, 5, 6, 6, 6, 7]
    for wrong in ({"triple": 2}, {"pair": 0}):
        with pytest.raises(ValueError, match=r"kinds are \['count', 'pair', 'single'\], times 1 or more"):
            pictures.repeated(scenes, wrong)


def test_latents_are_cached_once(data: Path, tmp_path: Path) -> None:
    media, calls = pictures.source(data, "train", 32), []

    class Half:
        def encode(self, x: Tensor) -> Tensor:
            calls.append(len(x))
            return x[..., ::2, ::2]

    one, two = (cached(tmp_path / "z.npy", [1] * 24, pictures.encoded(media, Half(), batch=10)) for _ in range(2))
    assert calls == [10, 10, 4]
    assert one.rows.shape == (24, 3, 16, 16)
    assert np.array_equal(one.rows, two.rows)
    assert torch.equal(pictures.pick(two, [3, 0])[0], torch.tensor(two.stretch(3, 0, 1)[0]).float())
    grown = cached(tmp_path / "z.npy", [1] * 25, [torch.ones(25, 3, 16, 16)])
    assert len(grown) == 25 and grown.rows.min() == 1


@pytest.mark.parametrize("count", [0, 3, 5])
def test_latents_that_are_not_those_of_the_media_are_refused(count: int, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"of 4 latents came|more latents than the 4"):
        cached(tmp_path / "z.npy", [1, 3], [torch.zeros(1, 2)] * count)
    assert not (tmp_path / "z.npy").exists()


def test_latents_lie_under_the_hash_of_their_autoencoder(vae: Path, tmp_path: Path) -> None:
    (tmp_path / "other").write_bytes(vae.read_bytes() + b" ")
    one, other = (file_of("data", file) for file in (vae, tmp_path / "other"))
    assert one != other and one.parent == Path("data/train")


def test_captions_are_encoded_once_and_as_the_encoder_would(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """To float16, in any company, with brackets in a caption meaning what they mean in a prompt."""
    from mediagen.conditioners.text import TextEncoder

    folder, told = TEXT, ["a cat", "a (red:1.3) balloon in the sky", "a cat", "two dogs on the grass", "snow"]

    class Captions:
        def __len__(self) -> int:
            return len(told)

        def captions(self, i: int) -> tuple[str, ...]:
            return (told[i],)

    text = TextEncoder.load(folder)
    known = stored(text, folder, Captions(), tmp_path, Place(device=torch.device("cpu")))
    mine, real = known(told), text(told)
    for name in real:
        assert mine[name].dtype == real[name].dtype
        assert torch.allclose(mine[name].float(), real[name].float(), atol=4e-3)
    assert len(list((tmp_path / "train").glob("texts-*.npy"))) == 1
    monkeypatch.setattr(text, "forward", None)  # a second time nothing is encoded
    again = stored(text, folder, Captions(), tmp_path, Place(device=torch.device("cpu")))
    assert torch.equal(again(told)["text"], mine["text"])
    assert known.null(2, 9)["text"].shape == (2, 9, text.width)


def test_pictures_are_shrunk_by_averaging(data: Path) -> None:
    media = pictures.source(data, "train", 8)
    small = pictures.fitted(media, 8)
    means = media.images(3).reshape(8, 4, 8, 4, 3).mean((1, 3))
    assert np.abs(small.images(3) - means).max() <= 0.5
    assert pictures.fitted(media, 32) is media
    assert small.captions(0) == ("a plain wall", "a wall")


def test_contact_sheet() -> None:
    sheet = contact_sheet(torch.full((10, 3, 4, 6), -1.0))
    assert sheet.shape == (8, 48, 3)
    assert sheet[:4].max() == 0
    assert sheet[4:, 12:].min() == 128


def test_a_silent_journal_needs_no_tensorboard(tmp_path: Path) -> None:
    journal = Journal(tmp_path, every=0)
    journal.begin(0)
    journal.numbers(1, {"loss": 1.0})
    journal.close()
    assert not list(tmp_path.iterdir())


def test_paths_and_timings_by_name() -> None:
    assert timing.find(name="LogNormal", mean=0.3).mean == 0.3
    assert path.find(**{"name": "VP", "beta_max": 12.0}).beta_max == 12.0
    with pytest.raises(ValueError, match=r"unknown path 'Straight'; known: Cosine"):
        path.find("Straight")
    with pytest.raises(ValueError, match="slope"):
        timing.find("LogNormal", slope=1)

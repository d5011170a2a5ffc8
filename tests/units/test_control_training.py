"""A control branch is learned beside a model that stays as it is, and `control=` takes what was written."""

from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

import mediagen
from mediagen.autoencoders.base import LatentSpec, on_grid
from mediagen.backbones.control import FILE, copied
from mediagen.backbones.dit import DiT, DiTConfig
from mediagen.cli.training import train
from mediagen.conditioners import hints
from mediagen.core import denoiser as core
from mediagen.modalities.image import Image
from mediagen.modalities.video import Video
from mediagen.training import run_control, weights
from mediagen.training.run_control import ControlRecipe, led
from mediagen.training.trainer import Schedule

pytest.importorskip("accelerate")
pytest.importorskip("cv2")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Walls, one half bright and the other dark; the caption does not say which."""
    folder, rng = tmp_path_factory.mktemp("halves"), np.random.default_rng(0)
    for number in range(16):
        wall = rng.integers(0, 40, (64, 64, 3), np.uint8)
        sides = (slice(None, 32), slice(32, None))
        rows, columns = sides[number % 2], sides[number // 2 % 2]
        wall[(rows, slice(None)) if number % 3 else (slice(None), columns)] += 200
        Image(wall).save(folder / f"{number:02d}.png")
        (folder / f"{number:02d}.txt").write_text("a wall\n")
    return folder


def recipe(model: Path, data: Path, steps: int = 6, **options) -> ControlRecipe:
    plan = Schedule(steps=steps, lr=5e-3, warmup=1, ema=0.8, precision="no", log_every=0, checkpoint_every=3)
    return ControlRecipe(model=str(model), data=str(data), hint="luminance", size=64, batch=8, schedule=plan, **options)


@pytest.fixture(scope="module")
def learned(tiny_model: Path, pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("led")
    before = (tiny_model / "denoiser.safetensors").read_bytes()
    for _ in run_control.run(recipe(tiny_model, pictures, steps=40), out):
        pass
    assert (tiny_model / "denoiser.safetensors").read_bytes() == before
    return out


@pytest.mark.parametrize("patch", [(2,), (2, 2), (1, 2, 2)])
def test_a_new_branch_changes_nothing(patch: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    net = DiT(DiTConfig(channels=4, patch=patch, width=32, depth=3, heads=2, hidden=48, text=16))
    for p in net.parameters():
        torch.nn.init.normal_(p, std=0.1)
    x, hint = torch.randn(2, 4, *(4,) * len(patch)), torch.randn(2, 6, *(4,) * len(patch))
    cond = {"text": torch.randn(2, 3, 16), "text_mask": torch.ones(2, 3, dtype=torch.bool)}
    cond["text_pooled"], t = torch.randn(2, 16), torch.tensor([0.3, 0.8])
    branch = copied(net, channels=6, depth=2)
    added = branch(net, x, t, cond, hint)
    assert len(added) == 2 and torch.equal(net(x, t, cond | {"control": added}), net(x, t, cond))
    for p in (*branch.out.parameters(), *branch.hint_embed.parameters()):
        torch.nn.init.normal_(p, std=0.1)
    assert not torch.allclose(net(x, t, cond | {"control": branch(net, x, t, cond, hint)}), net(x, t, cond), atol=1e-3)
    with pytest.raises(ValueError, match="depth must be 1 to the 3 blocks of the network, not 4"):
        copied(net, channels=6, depth=4)


def test_it_learns_to_be_led(tiny_model: Path, pictures: Path, learned: Path) -> None:
    """The right hint says more of what is there than that of another picture, or than none."""
    pipe = mediagen.load(tiny_model)
    control = pipe.model.adapts.control(str(learned))
    media = torch.stack([mediagen.modalities.image.fitted(Image(pixels(f)), (64, 64)) for f in files(pictures)])
    shown = on_grid(hints.each(hints.luminance, media), pipe.model.spec)
    with torch.no_grad():
        x0 = pipe.model.autoencoder.encode(media)
        cond = pipe.model.text(["a wall"]) | {"hint": shown}
        eps, t = torch.randn(x0.shape, generator=torch.Generator().manual_seed(1)), torch.full((len(x0),), 0.7)
        fit = core.fit({k: v for k, v in cond.items() if k != "hint"}, len(x0))
        model = led(pipe.model.denoiser, control.branch)
        right, wrong = (
            float(core.loss(model, x0, eps, t, fit | {"hint": hint}).mean()) for hint in (shown, shown.roll(1, 0))
        )
        plain = float(core.loss(pipe.model.denoiser, x0, eps, t, fit).mean())
    assert right < 0.95 * wrong and right < plain


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.png"))


def pixels(file: Path) -> np.ndarray:
    return mediagen.modalities.image.load(file).pixels


def test_what_was_learned_leads_the_pipeline(tiny_model: Path, pictures: Path, learned: Path, tmp_path: Path) -> None:
    pipe, picture = mediagen.load(tiny_model), str(files(pictures)[0])
    before = {name: value.clone() for name, value in pipe.model.denoiser.state_dict().items()}
    edges = {"model": str(learned), "image": picture, "hint": "luminance"}
    plain = pipe.generate("a wall", seed=0)
    made = pipe.generate("a wall", seed=0, control=edges)
    off = pipe.generate("a wall", seed=0, control=edges | {"weight": 0.0})
    assert made.sha256 != plain.sha256 == off.sha256
    assert pipe.generate("a wall", seed=0, control=[edges, edges | {"weight": -1.0}]).sha256 == plain.sha256
    assert all(torch.equal(value, before[name]) for name, value in pipe.model.denoiser.state_dict().items())
    made.save(tmp_path / "made.png")
    assert mediagen.replay(tmp_path / "made.png", str(tiny_model)).equal


def test_a_run_that_was_stopped(tiny_model: Path, pictures: Path, tmp_path: Path, monkeypatch) -> None:
    import trained

    monkeypatch.setattr(trained.recipes, "run", run_control.run)
    trained.resumed_equals_straight(recipe(tiny_model, pictures, depth=1), tmp_path)


def test_a_recipe_file(tiny_model: Path, pictures: Path, tmp_path: Path) -> None:
    asked = {"kind": "control", "model": str(tiny_model), "data": str(pictures), "hint": "canny", "size": 64}
    asked |= {"depth": 1, "batch": 2, "schedule": {"steps": 9, "precision": "no", "log_every": 0}}
    (tmp_path / "edges.yaml").write_text(yaml.safe_dump(asked))
    train(recipe=tmp_path / "edges.yaml", out=tmp_path / "edges", steps=1)
    tensors, about = weights.load(tmp_path / "edges" / FILE)
    assert (about["kind"], about["step"], about["hint"], about["depth"]) == ("control", 1, "canny", 1) and tensors


def test_clips_are_led_frame_by_frame(tiny_video: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    (tmp_path / "data").mkdir()
    for number in range(2):
        frames = rng.integers(0, 256, (17, 32, 32, 3), np.uint8)
        Video(frames, rate=8.0).save(tmp_path / "data" / f"{number}.gif")
        (tmp_path / "data" / f"{number}.txt").write_text("noise\n")
    plan = Schedule(steps=2, lr=5e-3, warmup=1, precision="no", log_every=0)
    asked = {"model": str(tiny_video), "data": str(tmp_path / "data"), "hint": "canny", "size": 32, "batch": 2}
    for _ in run_control.run(ControlRecipe(**asked, schedule=plan), tmp_path / "led"):
        pass
    pipe = mediagen.load(tiny_video)
    edges = {"model": str(tmp_path / "led"), "image": str(tmp_path / "data" / "0.gif"), "hint": "canny"}
    made = [pipe.generate("noise", seconds=17 / 8, seed=0, control=each) for each in (None, edges)]
    assert made[0].sha256 != made[1].sha256


def test_media_lie_on_the_grid_of_their_latents() -> None:
    spec = LatentSpec(channels=4, stride=(4, 2, 2), causal=True)
    clip = torch.randn(1, 3, 5, 4, 6)
    shown = on_grid(clip, spec)
    assert shown.shape == (1, 48, 2, 2, 3)
    assert torch.equal(on_grid(clip[:, :, [0, 1, 2, 3, 3]], spec), on_grid(clip[:, :, :4], spec))
    with pytest.raises(ValueError, match=r"is not 1 \+ a multiple of 4 in time"):
        on_grid(torch.randn(1, 3, 5, 5, 6), spec)


def test_what_cannot_be_trained_or_shown_is_said(
    tiny_model: Path, tiny_audio: Path, pictures: Path, learned: Path, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="unknown hint 'edges'; known: canny"):
        ControlRecipe(model="mini-image", data="data", hint="edges", schedule=Schedule(steps=1))
    with pytest.raises(ValueError, match=r"hints are made of pictures and clips, and .* makes audio"):
        next(run_control.run(recipe(tiny_audio, pictures), tmp_path))
    with pytest.raises(ValueError, match="was made for another model: its channels is 4, not 16"):
        mediagen.load("mini-image").generate("a wall", control=(str(learned), str(files(pictures)[0])))
    with pytest.raises(ValueError, match="holds no control branch, but a denoiser"):
        file = tiny_model / "denoiser.safetensors"
        mediagen.load(tiny_model).generate("a wall", control=(str(file), str(files(pictures)[0])))
    assert (learned / FILE).is_file()

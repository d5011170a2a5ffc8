"""A checkpoint's bench: both sides make the same from the same draws; what a loop costs is measured beside networks."""

from pathlib import Path

import loops
import pytest
import tiny
import torch
from huggingface_hub import constants
from tiny import scheduler

from mediagen.bench import beside, checkpoint

pytest.importorskip("diffusers")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.sd(tmp_path_factory.mktemp("sd"), scheduler("DDIMScheduler", **tiny.DDIM))


def test_both_sides(folder: Path) -> None:
    """The same latents on shared networks, and what a step costs beside them; which is less is for the bench to say."""
    both = checkpoint.pair(folder, size=16)
    assert beside.apart(both) < 1e-5 and torch.equal(*both.mine(2), *both.anew(2))
    mine, other = beside.overhead(both, steps=10, repeats=3)
    assert all(0 < one.step < one.call < one.whole for one in (mine, other))
    assert not any({"forward", "encode"} & set(vars(network)) for network in both.networks.values())
    assert set(both.networks) == {"unet", "text_encoder", "vae"}


def test_a_network_that_echoes() -> None:
    asked: list[int] = []
    layer = torch.nn.Linear(2, 2)
    plain = layer.forward
    layer.forward = lambda x: asked.append(1) or plain(x)
    with beside.clocked({"unet": layer}) as clock:
        one, two, other = layer(torch.ones(1, 2)), layer(torch.zeros(1, 2)), layer(torch.ones(3, 2))
    assert one is two and other.shape == (3, 2) and len(asked) == 2 and clock.seconds > 0
    assert len(clock.calls) == 3 and len(clock.between(1)) == 2 and len(clock.between(2)) == 1


def test_the_table(folder: Path) -> None:
    text = checkpoint.table(str(folder), size=16, steps=2, repeats=1)
    assert "µs a step beside the network" in text and "StableDiffusionPipeline" in text
    assert all(line.count("|") == 5 for line in text.splitlines() if line.startswith("|"))
    with pytest.raises(ValueError, match=r"is no checkpoint in diffusers' layout: there is no model_index\.json in it"):
        checkpoint.table(str(folder / "unet"))


def test_a_line_of_all_checkpoints(monkeypatch: pytest.MonkeyPatch) -> None:
    """What `docs/memory.md` prints of each; none of sides that do not make the same."""
    assert [cell.strip() for cell in loops.measured("SD Turbo", None, 1).split("|")][1] == "SD Turbo"
    monkeypatch.setattr(loops, "CLOSE", 0.0)
    [*_, last] = loops.lines(["SD Turbo"], None, 1)
    assert last.startswith("\nNot compared: SD Turbo (its latents differ by ")


QUICK = ("SD inpainting", "SDXL refiner", "LTX-Video, picture", "LTX-2, picture")


def same(name: str, folder: Path) -> None:
    build, asked = loops.ALL[name]
    with loops.spelt():
        assert beside.apart(checkpoint.pair(build(folder), **loops.shape(name, asked, None))) < loops.CLOSE


@pytest.mark.parametrize("name", QUICK)
def test_both_sides_of_others(name: str, tmp_path: Path) -> None:
    """What must be shown a picture is shown the same one by both sides; a clip's sound is compared as well."""
    same(name, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted({*loops.ALL} - {*QUICK}))
def test_both_sides_of_all(name: str, tmp_path: Path) -> None:
    same(name, tmp_path)


def test_a_repository_in_the_cache(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As `load` finds it; what diffusers does not make is one line."""
    place, commit = tmp_path / "models--some--model" / "snapshots", "0123456789abcdef" * 2 + "01234567"
    place.mkdir(parents=True)
    (place / commit).symlink_to(folder)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    both = checkpoint.pair(f"some/model@{commit}", size=16)
    assert beside.apart(both) < 1e-5 and both.name == "StableDiffusionPipeline"
    with pytest.raises(ValueError, match=r"diffusers' StableDiffusionPipeline does not make what ours does: .*2000"):
        both.theirs(2000)


@pytest.mark.slow
def test_stable_diffusion_on_a_cpu() -> None:
    """Smaller networks: three sides in processes of their own, near to each other."""
    from mediagen.bench import sd_cpu

    unet = {"block_out_channels": (32, 64), "layers_per_block": 1, "attention_head_dim": 4}
    unet |= {"down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D")}
    unet |= {"up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D")}
    vae = {"block_out_channels": (32, 32, 32, 32), "layers_per_block": 1}
    text = sd_cpu.table(2, 1, unet=unet, vae=vae, text={"num_hidden_layers": 1})
    rows = [line for line in text.splitlines() if line.startswith("| ") and "---" not in line]
    assert len(rows) == 4 and all(row.count("|") == 7 for row in rows)
    errors = [float(row.split("|")[5].removesuffix(" % ")) for row in rows[2:]]
    assert all(0 <= error < 2 for error in errors) and " 0.00 %" in rows[1]

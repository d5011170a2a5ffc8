"""Checkpoints on a CPU: attention by whole products is torch's, channels last say the same, commands take bfloat16."""

from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
import torch.nn.functional as F
from tiny import scheduler

import mediagen
from mediagen import replaying
from mediagen.cli import terminal
from mediagen.families import _cpu, _loading

pytest.importorskip("diffusers")

BOUNDS = {torch.float64: 1e-12, torch.float32: 1e-5, torch.bfloat16: 1e-2}
SHAPES = [  # B, H, L, S, D: of itself, of a text, of one key, wider than a register
    (2, 3, 33, 33, 8),
    (1, 2, 40, 7, 5),
    (2, 1, 3, 1, 16),
    (1, 2, 70, 130, 40),
]


def drawn(shape: tuple[int, ...], dtype: torch.dtype, times: float = 1.0) -> tuple[torch.Tensor, ...]:
    """Queries, keys and values as networks have them: [B, L, H, D], seen as [B, H, L, D]."""
    batch, heads, length, keys, width = shape
    g = torch.Generator().manual_seed(sum(shape))
    sizes = [(batch, long, heads, width) for long in (length, keys, keys)]
    q, k, v = (torch.randn(size, generator=g, dtype=torch.float64).transpose(1, 2) for size in sizes)
    return (q * times).to(dtype), k.to(dtype), v.to(dtype)


def apart(mine: torch.Tensor, exact: torch.Tensor) -> float:
    return float((mine.double() - exact).norm() / exact.norm())


def exactly(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: Any = None, **options: Any) -> torch.Tensor:
    told = mask if mask is None or mask.dtype == torch.bool else mask.double()
    return F.scaled_dot_product_attention(q.double(), k.double(), v.double(), attn_mask=told, **options)


@pytest.mark.parametrize("dtype", BOUNDS)
@pytest.mark.parametrize("shape", SHAPES)
def test_attention_is_torchs(shape: tuple[int, ...], dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    """However few scores are held at once, and at any scale."""
    for held in (2**20, 64):
        monkeypatch.setattr(_cpu, "SCORES", held)
        q, k, v = drawn(shape, dtype)
        assert apart(_cpu.attend(q, k, v), exactly(q, k, v)) < BOUNDS[dtype]
        assert apart(_cpu.attend(q, k, v, scale=0.7), exactly(q, k, v, scale=0.7)) < BOUNDS[dtype]
    assert _cpu.attend(q, k, v).transpose(1, 2).is_contiguous()


@pytest.mark.parametrize("dtype", BOUNDS)
@pytest.mark.parametrize("times", [4.0, 30.0, 1000.0])
def test_scores_that_are_far_apart(times: float, dtype: torch.dtype) -> None:
    """Up to those whose powers no number holds; what is rounded are scores less their largest, as near as torch's."""
    q, k, v = drawn((1, 2, 50, 130, 8), dtype, times)
    mine, other, exact = _cpu.attend(q, k, v), F.scaled_dot_product_attention(q, k, v), exactly(q, k, v)
    assert mine.isfinite().all() and apart(mine, exact) < max(2 * BOUNDS[dtype], 3 * apart(other, exact))


@pytest.mark.parametrize("dtype", BOUNDS)
@pytest.mark.parametrize("size", [(1, 1, 1, 30), (2, 1, 1, 30), (2, 3, 20, 30)])
def test_masks(size: tuple[int, ...], dtype: torch.dtype) -> None:
    """Keys that are left out, and what is added to scores; a query that is left with no key is as torch has it."""
    q, k, v = drawn((2, 3, 20, 30, 8), dtype)
    g = torch.Generator().manual_seed(3)
    seen = torch.rand(size, generator=g) < 0.4
    assert apart(_cpu.attend(q, k, v, seen), exactly(q, k, v, seen)) < BOUNDS[dtype]
    for added in (torch.randn(size, generator=g), (~seen) * -10000.0):
        told = added.to(dtype)
        assert apart(_cpu.attend(q, k, v, told), exactly(q, k, v, told)) < 2 * BOUNDS[dtype]
    for none in (torch.zeros(size, dtype=torch.bool), torch.full(size, -10000.0, dtype=dtype)):
        other = F.scaled_dot_product_attention(q, k, v, attn_mask=none).nan_to_num()
        assert torch.allclose(_cpu.attend(q, k, v, none).nan_to_num(), other, rtol=1e-3, atol=1e-6)


def test_who_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Large attention in bfloat16; what it does not do, and gradients, are torch's."""
    asked: list[torch.dtype] = []
    plain = _cpu.attend
    monkeypatch.setattr(_cpu, "attend", lambda q, *rest: asked.append(q.dtype) or plain(q, *rest))
    monkeypatch.setattr(_cpu, "LEAST", 100)
    q, k, v = drawn((1, 2, 20, 20, 8), torch.bfloat16)
    with _cpu.Quick():
        for one in (q, q.float(), q[:, :, :2]):
            F.scaled_dot_product_attention(one, k.to(one.dtype), v.to(one.dtype))
        F.scaled_dot_product_attention(q, k, v, is_causal=True)
        F.scaled_dot_product_attention(q, k[:, :1], v[:, :1], enable_gqa=True)
        F.scaled_dot_product_attention(q[0], k[0], v[0])
        for learns in range(3):
            given = [one.clone().requires_grad_(number == learns) for number, one in enumerate((q, k, v))]
            F.scaled_dot_product_attention(*given).sum().backward()
    assert asked == [torch.bfloat16]
    F.scaled_dot_product_attention(q, k, v)
    with _cpu.Quick(always=True):
        F.scaled_dot_product_attention(q.float(), k.float(), v.float())
    assert asked == [torch.bfloat16, torch.float32]


@pytest.fixture(scope="module")
def sd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.sd(tmp_path_factory.mktemp("sd"), scheduler("DDIMScheduler", **tiny.DDIM))


@pytest.fixture(scope="module")
def flux(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.flux(tmp_path_factory.mktemp("flux"), scheduler("FlowMatchEulerDiscreteScheduler", **tiny.FLUX))


def latents(pipe: Any, steps: int = 3) -> torch.Tensor:
    job = pipe.job("a red cat", size=16, steps=steps, seed=1)
    with torch.no_grad():
        *_, last = pipe.walk(job, pipe.asked(job))
    return last.x


@pytest.mark.parametrize("family", ["sd", "flux"])
def test_a_checkpoint_with_it(family: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """By name, in every attention of a network, whichever way it asks for it; in float32 the same as without."""
    folder, asked = request.getfixturevalue(family), []
    plain = latents(mediagen.load(folder))
    attend = _cpu.attend
    monkeypatch.setattr(_cpu, "attend", lambda *given: asked.append(1) or attend(*given))
    assert apart(latents(mediagen.load(folder, attention="gemm")), plain.double()) < 1e-5 and asked


def test_what_is_done_in_bfloat16(sd: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a CPU of the kind that it was measured on; unless another attention is asked for."""
    monkeypatch.setattr(_cpu, "LEAST", 1)
    exact, asked, attend = latents(mediagen.load(sd)), [], _cpu.attend
    monkeypatch.setattr(_cpu, "attend", lambda *given: asked.append(1) or attend(*given))
    for quick, options, used in ((True, {}, True), (False, {}, False), (True, {"attention": "native"}, False)):
        asked.clear()
        monkeypatch.setattr(_cpu, "pays", lambda quick=quick: quick)
        found = latents(mediagen.load(sd, dtype="bfloat16", **options))
        assert bool(asked) == used and apart(found, exact.double()) < 0.05
    asked.clear()
    mediagen.load(sd)
    assert not asked


def test_channels_last_is_the_same(sd: Path) -> None:
    pipe = mediagen.load(sd)
    plain, z = latents(pipe), torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        before = pipe.model.autoencoder.decode(z)
        _cpu.channels_last(pipe.model.denoiser.net.network, pipe.model.autoencoder.vae)
        after = pipe.model.autoencoder.decode(z)
    kernels = [p for p in pipe.model.denoiser.parameters() if p.ndim == 4 and p.shape[-1] > 1]
    assert kernels and all(p.is_contiguous(memory_format=torch.channels_last) for p in kernels)
    assert apart(latents(pipe), plain.double()) < 1e-5 and apart(after, before.double()) < 1e-5


def test_where_it_cannot_be(sd: Path) -> None:
    with pytest.raises(ValueError, match="attention 'gemm' is for the CPU: leave out the device, or attention"):
        mediagen.load(sd, attention="gemm", device_map="cpu")


def test_commands_load_checkpoints_in_what_is_quick(sd: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python's `load` is exact where nothing is said. What was made says in which dtype, and is made again in it."""
    monkeypatch.setattr(_loading, "multiplies_bfloat16", lambda kind: True)
    monkeypatch.setattr(mediagen, "_loaded", {})
    kinds = {name: terminal.open_model(str(sd), "image", name).model.denoiser.dtype for name in (None, "float32")}
    assert kinds == {None: torch.bfloat16, "float32": torch.float32}
    assert mediagen.load(sd).model.denoiser.dtype == torch.float32
    terminal.open_model(str(sd), "image").generate("a cat", size=16, steps=2, seed=1).save(tmp_path / "a.png")
    assert replaying.replay(tmp_path / "a.png").equal
    assert terminal.open_model("mini-image", "image").model.denoiser.dtype == torch.float32


def test_what_two_branches_have_in_common_is_done_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Until they differ; the answer is the same."""
    monkeypatch.setattr(_cpu, "LARGE", 1)
    asked: list[int] = []
    plain = _cpu.Quick._answered
    monkeypatch.setattr(
        _cpu.Quick, "_answered", lambda self, func, args, given: _counted(asked, plain, self, func, args, given)
    )
    g = torch.Generator().manual_seed(0)
    x = torch.randn(1, 4, 6, 6, generator=g).repeat(2, 1, 1, 1)
    kernel, matrix = torch.randn(8, 4, 3, 3, generator=g), torch.randn(5, 8, generator=g)

    def network(x: torch.Tensor) -> torch.Tensor:
        y = F.conv2d(x, kernel, padding=1).flatten(2).transpose(1, 2)
        heads = y.unflatten(2, (2, 4)).transpose(1, 2)
        return F.linear(F.scaled_dot_product_attention(heads, heads, heads).transpose(1, 2).flatten(2), matrix)

    with torch.no_grad():
        for given, sizes in (
            (x, [1, 1, 1]),
            (x * torch.tensor([1.0, 2.0]).view(2, 1, 1, 1), [2, 2, 2]),
            (x[:1], [1] * 3),
        ):
            asked.clear()
            with _cpu.Quick():
                mine = network(given)
            assert asked == sizes and apart(mine, network(given).double()) < 1e-5


def _counted(asked: list[int], plain: Any, self: Any, func: Any, args: Any, given: Any) -> Any:
    if func in _cpu.SHARED:
        asked.append(len(args[0]))
    return plain(self, func, args, given)

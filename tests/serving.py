"""What all tests of the server do: tiny models, a service with a worker, waiting for a job."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from threading import Thread
from typing import Any

from mediagen.serve.studio import News, Studio

MOST = 300.0  # seconds that anything may take on a busy machine
MANY = 600  # steps of a job that is to be seen running
BROKEN = 13  # the seed of a job that breaks
HELD = "held"  # a file beside the media


class FullDisk(Studio):
    """Where there is no room for the results of the seed 13."""

    def _kept(self, batch: Any, results: Any) -> News:
        import errno

        place, save = self._media.folder / "x.png", self._media.save

        def full(record: Any, number: int, result: Any) -> str:
            if record.asked["seed"] == BROKEN:
                raise OSError(errno.ENOSPC, "No space left on device", str(place))
            return save(record, number, result)

        self._media.save = full
        return super()._kept(batch, results)


class Breaking(Studio):
    """Where the seed 13 breaks what makes it, in a way that its prompt names."""

    def make(self, records: Any) -> Iterator[News]:
        for news in super().make(records):
            for record in records:
                if record.asked["seed"] == BROKEN and news.stage == "step":
                    self._break(record.asked["prompt"])
            yield news

    def _break(self, how: str) -> None:
        if how == "no memory":
            raise MemoryError
        if how == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if how == "stuck":
            time.sleep(600)
        if how == "killed once" and not (self._media.folder.parent / "once").exists():
            (self._media.folder.parent / "once").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if how == "a red ball":
            raise RuntimeError("the network is broken")


class Slow(Breaking):
    """Where a step takes 20 ms at least, on any machine: what is to be seen running, is."""

    def make(self, records: Any) -> Iterator[News]:
        for news in super().make(records):
            if news.stage == "step":
                time.sleep(0.02)
            yield news


class Holding(Breaking):
    """Where jobs get no further than their third step while they are held (`holding`): what is to be seen running, is,
    however slow the machine is. Each news of that step comes again and again; a job may be cancelled in it."""

    def make(self, records: Any) -> Iterator[News]:
        held = self._media.folder.parent / HELD
        for news in super().make(records):
            yield news
            while (news.stage, news.step) == ("step", 3) and held.exists():
                time.sleep(0.02)
                yield news


@contextmanager
def holding(data: Path) -> Iterator[Callable[[], None]]:
    """Jobs of the server of this folder are held until what is given here is called, or at the end."""
    file = data / HELD
    file.touch()
    try:
        yield partial(file.unlink, missing_ok=True)
    finally:
        file.unlink(missing_ok=True)


class Counted(Slow):
    """Where each step leaves a mark in a file beside the media."""

    def make(self, records: Any) -> Iterator[News]:
        for news in super().make(records):
            if news.stage == "step":
                with (self._media.folder.parent / "steps").open("a") as marks:
                    marks.write(".")
            yield news


def settings(data: Path, models: dict[str, Path], **changed: Any) -> Any:
    from mediagen.serve.limits import Limits
    from mediagen.serve.service import Settings

    limits = Limits(**{"steps": 1000, **changed.pop("limits", {})})
    return Settings(data=data, models=models, limits=limits, **changed)


def until(service: Any, name: str, states: tuple[str, ...] = ("done", "failed", "cancelled")) -> Any:
    """A job once it is in one of these states."""
    eventually(lambda: service.store.get(name).state in states, name)
    return service.store.get(name)


def eventually(there: Callable[[], Any], what: str = "it") -> Any:
    """What `there` gives once it is true, however slow the machine is."""
    end = time.monotonic() + MOST
    while not (found := there()):
        assert time.monotonic() < end, f"{what} is not there after {MOST} s"
        time.sleep(0.01)
    return found


def asked(prompt: str = "a red ball", modality: str = "image", **options: Any) -> Any:
    from mediagen.serve.service import Asked

    return Asked(endpoint=f"{modality}s", modality=modality, model=None, options={"prompt": prompt, **options})


def with_preview(model: Path, folder: Path) -> Path:
    """The same tiny model with a preview decoder, of random weights too."""
    import shutil

    import torch
    import yaml

    from mediagen import config
    from mediagen.autoencoders.preview import Preview, PreviewConfig
    from mediagen.training import weights

    shutil.copytree(model, folder, dirs_exist_ok=True)
    torch.manual_seed(0)
    sizes = PreviewConfig(latent_channels=4, grow=2, width=8)
    file = folder / "preview.safetensors"
    weights.save(file, Preview(sizes).state_dict(), {"kind": "preview", "config": config.plain(sizes)})
    card = yaml.safe_load((folder / "card.yaml").read_text())
    (folder / "card.yaml").write_text(yaml.safe_dump(card | {"preview": file.name}))
    return folder


def with_lora(folder: Path) -> Path:
    """A folder with two adapters of random weights for a layer of the tiny model: a file, and a folder of one."""
    import torch
    from safetensors.torch import save_file

    folder.mkdir(exist_ok=True)
    torch.manual_seed(0)
    layer = "base_model.model.blocks.0.attention.query"
    weights = {f"{layer}.lora_A.weight": torch.randn(4, 32), f"{layer}.lora_B.weight": torch.randn(32, 4)}
    save_file(weights, folder / "style.safetensors")
    (folder / "bright").mkdir(exist_ok=True)
    save_file({name: -one for name, one in weights.items()}, folder / "bright" / "adapter_model.safetensors")
    return folder


def with_control(model: Path, folder: Path) -> Path:
    """A folder with a control branch of random weights for the tiny model, called brightness."""
    import torch

    import mediagen
    from mediagen import config
    from mediagen.backbones.control import FILE, Control
    from mediagen.training import weights

    made = mediagen.load(model).model
    sizes, spec = made.denoiser.net.config, made.spec
    about = {"channels": spec.media_channels * torch.Size(spec.stride).numel(), "depth": 1}
    torch.manual_seed(0)
    branch = Control(sizes, **about)
    for one in branch.parameters():
        torch.nn.init.normal_(one, std=0.1)
    (folder / "brightness").mkdir(parents=True, exist_ok=True)
    header = {"kind": "control", "network": config.plain(sizes), **about}
    weights.save(folder / "brightness" / FILE, branch.state_dict(), header)
    return folder


@contextmanager
def served(settings: Any, studio: type[Studio] = Studio) -> Iterator[tuple[str, Any]]:
    """(http://127.0.0.1:port, app) of a real server in a thread of its own."""
    import uvicorn

    from mediagen.serve.app import create

    app = create(settings, studio)
    config = uvicorn.Config(app, port=0, log_config=None, access_log=False, ws_max_size=65_536)
    server = uvicorn.Server(config)
    thread = Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
        assert thread.is_alive()
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}", app
    finally:
        server.should_exit = True
        thread.join(30)

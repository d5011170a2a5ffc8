"""What all tests of the server do: tiny models, a service with a worker, waiting for a job."""

import time
from pathlib import Path
from typing import Any

MANY = 600  # steps of a job that is to be seen running


def settings(data: Path, models: dict[str, Path], **changed: Any) -> Any:
    from mediagen.serve.limits import Limits
    from mediagen.serve.service import Settings

    limits = Limits(**{"steps": 1000, **changed.pop("limits", {})})
    return Settings(data=data, models=models, limits=limits, **changed)


def until(service: Any, name: str, states: tuple[str, ...] = ("done", "failed", "cancelled"), most: float = 60) -> Any:
    """A job once it is in one of these states."""
    end = time.monotonic() + most
    while time.monotonic() < end:
        record = service.store.get(name)
        if record.state in states:
            return record
        time.sleep(0.01)
    raise AssertionError(f"{name} is {record.state} after {most} s")


def asked(prompt: str = "a red ball", modality: str = "image", **options: Any) -> Any:
    from mediagen.serve.service import Asked

    return Asked(endpoint=f"{modality}s", modality=modality, model=None, options={"prompt": prompt, **options})

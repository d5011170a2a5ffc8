"""Fetching the packages that the generated worlds are made from, with the ordinary clients of npm, PyPI and Debian.

A package is downloaded once into a cache folder, its SHA-256 is checked against the recipe (or recorded when the recipe
names none), and it is unpacked beside the archive. What is there is not fetched again; a download that was cut short
leaves nothing that could be taken for a whole one.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Report = Callable[[str, int, int], None]  # stage, done, total (0 when unknown)


def unreported(stage: str, done: int, total: int) -> None:
    """For callers that do not watch."""


class FetchError(ValueError):
    """A package could not be fetched or is not the expected one; the message says what to do."""


@dataclass(frozen=True, kw_only=True)
class Package:
    """One package of a registry.

    name, version: as the registry spells them. kind: which client fetches it. sha256: of the archive, hex; None accepts
    the first one fetched and holds later ones to it. licence: SPDX name. notice: attribution to be shipped along.
    """

    name: str
    version: str
    kind: Literal["npm", "pip", "apt"] = "npm"
    sha256: str | None = None
    licence: str = ""
    notice: str = ""

    @property
    def stem(self) -> str:
        return f"{self.name.lstrip('@').replace('/', '-')}-{self.version.replace(':', '%3a')}"


def cache_folder() -> Path:
    """The folder for downloads: $MEDIAGEN_CACHE, else $XDG_CACHE_HOME/mediagen, else ~/.cache/mediagen."""
    if named := os.environ.get("MEDIAGEN_CACHE"):
        return Path(named).expanduser()
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "mediagen"


def fetch(package: Package, cache: Path | None = None, report: Report = unreported) -> Path:
    """The folder of an unpacked package, downloaded first when it is not in the cache.

    Raises FetchError with one clear line when the client is missing, the network is down or the hash is another one.
    """
    folder = (cache or cache_folder()) / "packages"
    folder.mkdir(parents=True, exist_ok=True)
    target, record = folder / package.stem, folder / f"{package.stem}.json"
    if record.exists() and target.is_dir():
        _check(package, json.loads(record.read_text())["sha256"])
        return target
    archive = _archived(package, folder)
    if archive is None:
        report(f"fetching {package.name}", 0, 0)
        archive = _download(package, folder)
    digest = sha256(archive)
    _check(package, digest)
    _unpack(archive, target)
    _write(record, {"name": package.name, "version": package.version, "sha256": digest, "archive": archive.name})
    return target


def sha256(file: Path) -> str:
    """Hex SHA-256 of a file."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _check(package: Package, digest: str) -> None:
    if package.sha256 and digest != package.sha256:
        raise FetchError(
            f"{package.name} {package.version} has sha256 {digest}, the recipe expects {package.sha256}; "
            "delete it from the cache folder and fetch again"
        )


def _archived(package: Package, folder: Path) -> Path | None:
    found = [
        file for ending in (".tgz", ".whl", ".tar.gz", ".deb") if (file := folder / f"{package.stem}{ending}").exists()
    ]
    return found[0] if found else None


def _command(package: Package) -> list[str]:
    match package.kind:
        case "npm":
            return ["npm", "pack", "--loglevel=error", f"{package.name}@{package.version}"]
        case "pip":
            return [sys.executable, "-m", "pip", "download", "--no-deps", "-q", f"{package.name}=={package.version}"]
        case "apt":
            return ["apt-get", "download", "-q", f"{package.name}={package.version}"]
    raise FetchError(f"unknown kind of package {package.kind!r}; it is one of npm, pip, apt")


def _download(package: Package, folder: Path) -> Path:
    """Runs the client in a fresh folder and moves the one file it leaves into the cache, so it is whole or absent."""
    command = _command(package)
    if shutil.which(command[0]) is None:
        raise FetchError(f"{command[0]} is needed to fetch {package.name} {package.version} and is not installed")
    with tempfile.TemporaryDirectory(dir=folder, prefix=".fetch-") as empty:
        done = subprocess.run(command, cwd=empty, capture_output=True, text=True, check=False)
        files = sorted(Path(empty).iterdir())
        if done.returncode or len(files) != 1:
            said = (done.stderr or done.stdout).strip().splitlines()
            reason = next((line for line in said if "ERR" in line.upper()), said[-1] if said else "no file came")
            raise FetchError(
                f"could not fetch {package.name} {package.version} with {command[0]} ({reason.strip()[:160]}); "
                "check the network, or put the archive into the cache folder by hand"
            )
        ending = ".tar.gz" if files[0].name.endswith(".tar.gz") else files[0].suffix
        return files[0].replace(folder / f"{package.stem}{ending}")


def _unpack(archive: Path, target: Path) -> None:
    """Unpacks beside the target and renames, so that a folder that exists is complete."""
    fresh = Path(tempfile.mkdtemp(dir=target.parent, prefix=".unpack-"))
    try:
        _extract(archive, fresh)
        shutil.rmtree(target, ignore_errors=True)
        fresh.rename(target)
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, OSError, subprocess.CalledProcessError) as error:
        raise FetchError(
            f"{archive.name} is damaged ({error}); delete it from the cache folder and fetch again"
        ) from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _extract(archive: Path, folder: Path) -> None:
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as bundle:
            bundle.extractall(folder)
    elif archive.suffix == ".deb":
        subprocess.run(["dpkg-deb", "-x", str(archive), str(folder)], check=True, capture_output=True)
    else:
        with tarfile.open(archive) as bundle:
            bundle.extractall(folder, filter="data")


def _write(file: Path, content: dict) -> None:
    fresh = file.with_name(f".{file.name}.{os.getpid()}")
    fresh.write_text(json.dumps(content, indent=1) + "\n")
    fresh.replace(file)

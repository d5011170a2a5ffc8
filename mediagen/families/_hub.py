"""Whether a hub of repositories answers, found out in seconds, and what needs no answer of it."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from threading import Thread
from time import monotonic
from typing import Any

from ..errors import first_line
from ._files import variant_of

PATIENCE = 4.0  # seconds that one question may take, the look-up of names included
REMEMBERED = 30.0  # seconds that an answer is good for
REPOSITORY = re.compile(r"[\w][\w.-]*/[\w][\w.-]*(@[\w./-]+)?")  # owner/name@revision
COMMIT = re.compile(r"[0-9a-f]{40}")


def named(source: str | Path, revision: str | None) -> str:
    """owner/name@revision, or the source itself. ValueError for a revision of a file or a folder."""
    if revision is None:
        return str(source)
    if Path(source).exists():
        raise ValueError(f"{source} is a file or folder, which has no revisions: leave out revision")
    return f"{source}@{revision}"


def where(name: str) -> tuple[str, dict[str, Any]]:
    """owner/name@revision -> (owner/name, what huggingface_hub's functions are told beside it). Where the network is
    off, or does not answer, only the cache is asked: those functions would ask again and again for most of a minute."""
    repository, _, revision = name.partition("@")
    return repository, {"revision": revision or None, "local_files_only": not answers()}


def answers() -> bool:
    """Whether the hub can be asked: HF_HUB_OFFLINE is not set, and one request without a repetition comes back."""
    from huggingface_hub import constants

    return not constants.HF_HUB_OFFLINE and _answered(constants.ENDPOINT, int(monotonic() / REMEMBERED))


def files(name: str) -> Sequence[str]:
    """The names of all files of owner/name@revision; none where nobody answers."""
    from huggingface_hub import HfApi

    repository, where_ = where(name)
    try:
        return [] if where_["local_files_only"] else HfApi().list_repo_files(repository, revision=where_["revision"])
    except Exception:  # of whatever library it asks with: what they are is said beside another error
        return []


def pinned(name: str, index: str, weights: bool, variant: str | None = None) -> Path | None:
    """The folder of a repository at one commit, where all of it is in the cache: a commit never changes, so nobody is
    asked. index: the file that names its parts; weights: whether these are needed, of a variant or plain ones. None for
    a branch, or what is not whole."""
    folder = commit(name)
    made = {} if folder is None else _read(folder / index)
    parts = [part for part, given in made.items() if isinstance(given, list) and None not in given]
    return folder if folder and parts and _whole(folder, parts, weights, variant or "") else None


def place_of(path: str | Path, what: str, patterns: tuple[str, ...] = ("*.json", "*.safetensors")) -> Path:
    """A file, a folder, or the folder in the cache of a repository (owner/name, or owner/name@revision); ValueError,
    saying what it should be, if there is none."""
    place = Path(path)
    if place.exists():
        return place
    if not isinstance(path, str) or not REPOSITORY.fullmatch(path):
        raise ValueError(f"{what} must be a file, a folder or a repository, and there is no {path}")
    return _fetched(path, what, patterns)


def _fetched(path: str, what: str, patterns: tuple[str, ...]) -> Path:
    from huggingface_hub import snapshot_download

    repository, options = where(path)
    try:
        return Path(snapshot_download(repository, allow_patterns=list(patterns), **options))
    except Exception as error:
        raise ValueError(
            f"{what}: there is no {path}, and no such repository can be fetched: {reason(error)}"
        ) from error


def commit(name: str) -> Path | None:
    """The folder in the cache of owner/name@commit, whatever of it is there."""
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    repository, _, revision = name.partition("@")
    place = repo_folder_name(repo_id=repository, repo_type="model")
    folder = Path(constants.HF_HUB_CACHE) / place / "snapshots" / revision
    return folder if COMMIT.fullmatch(revision) and folder.is_dir() else None


def _whole(folder: Path, parts: Sequence[str], weights: bool, variant: str) -> bool:
    """Whether each part is there, with its weights, if it has a network's configuration."""
    for part in (folder / part for part in parts):
        if not part.is_dir():
            return False
        networks = weights and (part / "config.json").is_file()
        if networks and not any(variant_of(file) == variant for file in part.glob("*.safetensors")):
            return False
        index = f"*.safetensors.index.{variant}.json" if variant else "*.safetensors.index.json"
        shards = [_read(file).get("weight_map", {}) for file in part.glob(index)]
        if networks and not all((part / file).is_file() for listed in shards for file in listed.values()):
            return False
    return True


def _read(file: Path) -> dict[str, Any]:
    try:
        read = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return read if isinstance(read, dict) else {}


@lru_cache(maxsize=4)
def _answered(endpoint: str, when: int) -> bool:
    """In a thread, since a look-up of names takes no time limit."""
    found: list[bool] = []

    def ask() -> None:
        from huggingface_hub.utils import get_session

        try:
            get_session().head(endpoint, timeout=PATIENCE)
        except Exception:  # of whatever library it asks with: there is no answer
            return
        found.append(True)

    asking = Thread(target=ask, daemon=True)
    asking.start()
    asking.join(PATIENCE)
    return bool(found)


def reason(error: Exception) -> str:
    """Why nothing can be fetched, in one line."""
    kind = type(error).__name__
    if kind in ("LocalEntryNotFoundError", "OfflineModeIsEnabled"):
        return "it is not in the cache, and the network is off or does not answer"
    if kind == "GatedRepoError":
        return "it is gated: accept its terms on its page, then `hf auth login`"
    if kind == "RepositoryNotFoundError":
        return "there is none of this name that is public"
    return line(error)


def line(error: BaseException) -> str:
    """The first line, without the advice on options that are not ours."""
    return first_line(error).partition(" If you want to instead")[0]

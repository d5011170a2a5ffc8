"""What is kept of a job and of a file, and the tables that it is kept in."""

from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import JSON, Column, Float, Index, Integer, MetaData, String, Table, Text

ACTIVE, OVER = ("queued", "running"), ("done", "failed", "cancelled")
TABLES = MetaData()

JOBS = Table(
    "jobs",
    TABLES,
    Column("number", Integer, primary_key=True),
    Column("id", String(64), unique=True, nullable=False),
    Column("endpoint", String(64), nullable=False),
    Column("modality", String(16), nullable=False),
    Column("model", String(512), nullable=False),
    Column("asked", JSON, nullable=False),
    Column("sources", JSON, nullable=False),
    Column("about", JSON, nullable=False),
    Column("alike", String(64), nullable=False),
    Column("count", Integer, nullable=False),
    Column("state", String(16), nullable=False),
    Column("created", Float, nullable=False),
    Column("started", Float),
    Column("finished", Float),
    Column("results", JSON, nullable=False),
    Column("code", String(64)),
    Column("reason", Text),
    Index("waiting", "state", "number"),
)
FILES = Table(
    "files",
    TABLES,
    Column("number", Integer, primary_key=True),
    Column("id", String(64), unique=True, nullable=False),
    Column("name", String(256), nullable=False),
    Column("purpose", String(32), nullable=False),
    Column("place", String(128), nullable=False),
    Column("bytes", Integer, nullable=False),
    Column("created", Float, nullable=False),
)


@dataclass(frozen=True, kw_only=True)
class Record:
    """A job. asked: the options of a pipeline's `job`, its seed among them; sources: option -> the name of a file in
    the media folder; about: what its endpoint wants to remember; alike: the hash of what it shares with others that it
    may be made together with, empty if with none; count: media that it makes; results: names in the media folder;
    code, reason: why it failed. Times are in seconds since 1970."""

    id: str
    endpoint: str
    modality: str
    model: str
    asked: dict[str, Any]
    sources: dict[str, str]
    about: dict[str, Any] = field(default_factory=dict)
    alike: str = ""
    count: int = 1
    state: str = "queued"
    created: float = 0.0
    started: float | None = None
    finished: float | None = None
    results: tuple[str, ...] = ()
    code: str | None = None
    reason: str | None = None

    @property
    def over(self) -> bool:
        return self.state in OVER


@dataclass(frozen=True, kw_only=True)
class Kept:
    """A file of a client. place: its name in the media folder."""

    id: str
    name: str
    purpose: str
    place: str
    bytes: int
    created: float

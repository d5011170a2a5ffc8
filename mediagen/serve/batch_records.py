"""What is kept of a batch and of its lines, and how that changes."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from sqlalchemy import JSON, Column, Index, Integer, Row, String, Table, func, insert, select, update

from .records import TABLES
from .store import Store, is_name

WORKING = ("in_progress", "cancelling", "finalizing")

BATCHES = Table(
    "batches",
    TABLES,
    Column("number", Integer, primary_key=True),
    Column("id", String(64), unique=True, nullable=False),
    Column("endpoint", String(64), nullable=False),
    Column("status", String(16), nullable=False),
    Column("input_file", String(64), nullable=False),
    Column("output_file", String(64)),
    Column("error_file", String(64)),
    Column("window", String(16), nullable=False),
    Column("base", String(300), nullable=False),
    Column("metadata", JSON, nullable=False),
    Column("errors", JSON, nullable=False),
    Column("times", JSON, nullable=False),
)
LINES = Table(
    "lines",
    TABLES,
    Column("number", Integer, primary_key=True),
    Column("batch", String(64), nullable=False),
    Column("custom", String(512), nullable=False),
    Column("asked", JSON, nullable=False),
    Column("job", String(64)),
    Column("status", Integer),
    Column("answer", JSON),
    Index("of_batch", "batch", "number"),
)


@dataclass(frozen=True, kw_only=True)
class Batch:
    """status: OpenAI's. times: status -> when it began, in seconds since 1970; errors: what is wrong with its file;
    base: the address that the server was called by."""

    id: str
    endpoint: str
    status: str
    input_file: str
    output_file: str | None = None
    error_file: str | None = None
    window: str = "24h"
    base: str = "http://localhost/"
    metadata: Mapping[str, str] = field(default_factory=dict)
    errors: Sequence[Mapping[str, Any]] = ()
    times: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Line:
    """A request of a batch. asked: its body; job: what makes it, once there is one; status: of HTTP, once it is over;
    answer: the body of an error."""

    number: int
    batch: str
    custom: str
    asked: Mapping[str, Any]
    job: str | None = None
    status: int | None = None
    answer: Mapping[str, Any] | None = None


class Batches:
    """In the database of the jobs."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def add(self, batch: Batch, lines: Sequence[tuple[str, Mapping[str, Any]]]) -> Batch:
        """With its lines, as (custom id, body)."""
        rows = [{"batch": batch.id, "custom": custom, "asked": dict(asked)} for custom, asked in lines]
        with self._store.changing() as connection:
            connection.execute(insert(BATCHES).values(**{**asdict(batch), "errors": list(batch.errors)}))
            if rows:
                connection.execute(insert(LINES), rows)
        return batch

    def get(self, name: str) -> Batch | None:
        if not is_name(name):
            return None
        with self._store.reading() as connection:
            row = connection.execute(select(BATCHES).where(BATCHES.c.id == name)).first()
        return None if row is None else _batch(row)

    def all(self, *, after: str | None = None, limit: int = 20) -> list[Batch]:
        """The newest first, from the one after `after` on."""
        if after is not None and not is_name(after):
            return []
        query = select(BATCHES).order_by(BATCHES.c.number.desc()).limit(limit)
        if after is not None:
            last = select(BATCHES.c.number).where(BATCHES.c.id == after).scalar_subquery()
            query = query.where(BATCHES.c.number < last)
        with self._store.reading() as connection:
            return [_batch(row) for row in connection.execute(query)]

    def working(self) -> list[Batch]:
        """Those that are not over, the oldest first."""
        query = select(BATCHES).where(BATCHES.c.status.in_(WORKING)).order_by(BATCHES.c.number)
        with self._store.reading() as connection:
            return [_batch(row) for row in connection.execute(query)]

    def move(self, name: str, status: str, *before: str, **values: Any) -> bool:
        """To another status, if it has one of those before still."""
        with self._store.changing() as connection:
            now = connection.execute(select(BATCHES).where(BATCHES.c.id == name)).first()
            if now is None or now.status not in before:
                return False
            times = {**now.times, status: time.time()}
            change = update(BATCHES).where(BATCHES.c.id == name, BATCHES.c.status == now.status)
            return connection.execute(change.values(status=status, times=times, **values)).rowcount > 0

    def lines(self, name: str, *, waiting: bool = False, limit: int | None = None) -> list[Line]:
        """In their order; only those that are not over, if asked so."""
        query = select(LINES).where(LINES.c.batch == name).order_by(LINES.c.number).limit(limit)
        query = query.where(LINES.c.status.is_(None)) if waiting else query
        with self._store.reading() as connection:
            return [Line(**row._mapping) for row in connection.execute(query)]

    def note(self, line: Line, **values: Any) -> None:
        """What has become of a line."""
        with self._store.changing() as connection:
            connection.execute(update(LINES).where(LINES.c.number == line.number).values(**values))

    def counts(self, name: str) -> dict[str, int]:
        """{"total", "completed", "failed"}"""
        query = select(LINES.c.status, func.count()).where(LINES.c.batch == name).group_by(LINES.c.status)
        with self._store.reading() as connection:
            found = dict(connection.execute(query).all())
        done = found.get(200, 0)
        total = sum(found.values())
        return {"total": total, "completed": done, "failed": total - done - found.get(None, 0)}


def _batch(row: Row) -> Batch:
    return Batch(**{key: value for key, value in row._mapping.items() if key != "number"})

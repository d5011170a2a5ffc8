"""Jobs and files in a database: SQLite beside the media, or whatever SQLAlchemy opens."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from threading import Lock
from typing import Any

from sqlalchemy import (
    Connection,
    Engine,
    Row,
    Select,
    Table,
    create_engine,
    delete,
    event,
    func,
    insert,
    select,
    update,
)

from .records import ACTIVE, FILES, JOBS, OVER, TABLES, Kept, Record

WAIT = 10_000  # milliseconds that a writer of SQLite waits for another
Choice = Callable[[Sequence[Row]], Row | None]
"""Of the jobs that wait (id, model, created), the longest waiting first, one or none."""
_WAITING = select(JOBS).where(JOBS.c.state == "queued").order_by(JOBS.c.number)


class Full(Exception):
    """There are as many jobs in the queue as there may be. waiting: how many."""

    def __init__(self, waiting: int) -> None:
        super().__init__(waiting)
        self.waiting = waiting


class Store:
    """Every change of a job is one transaction; a job that is over never changes its state again."""

    def __init__(self, url: str) -> None:
        self._one = Lock()
        try:
            self._engine = _opened(url)
            self._reading = self._engine.execution_options(writes=False)
            TABLES.create_all(self._engine)
        except Exception as error:  # each driver has errors of its own
            raise ValueError(f"cannot open the database: {' '.join(str(error).split())[:300]}") from error

    @contextmanager
    def changing(self) -> Iterator[Connection]:
        """A transaction that writes; one at a time: who waits for SQLite itself waits in no order, and not for long."""
        with self._one, self._engine.begin() as connection:
            yield connection

    def reading(self) -> Connection:
        return self._reading.connect()

    def close(self) -> None:
        self._engine.dispose()

    # ---- jobs

    def add(self, record: Record, most: int) -> Record:
        """`Full` if so many jobs wait or run already."""
        record = Record(**{**asdict(record), "created": time.time()})
        with self.changing() as connection:
            waiting = connection.execute(_counting(ACTIVE)).scalar_one()
            if waiting >= most:
                raise Full(waiting)
            connection.execute(insert(JOBS).values(**{**asdict(record), "results": list(record.results)}))
        return record

    def get(self, name: str) -> Record | None:
        if not is_name(name):
            return None
        with self.reading() as connection:
            row = connection.execute(select(JOBS).where(JOBS.c.id == name)).first()
        return None if row is None else _record(row)

    def all(
        self,
        *,
        endpoints: Sequence[str] = (),
        state: str | None = None,
        modality: str | None = None,
        after: str | None = None,
        limit: int = 20,
        oldest: bool = False,
    ) -> list[Record]:
        """The newest first, or the oldest, from the one after `after` on."""
        if after is not None and not is_name(after):
            return []
        query = _ordered(JOBS, after, oldest).limit(limit)
        query = query.where(JOBS.c.endpoint.in_(endpoints)) if endpoints else query
        query = query.where(JOBS.c.state == state) if state else query
        query = query.where(JOBS.c.modality == modality) if modality else query
        with self.reading() as connection:
            return [_record(row) for row in connection.execute(query)]

    def take(self, most: int, choose: Choice | None = None, sharing: int = 1) -> list[Record]:
        """The job that has waited longest, or the one that is chosen of all that wait, and others like it for as many
        media as are made at once: running now. sharing: how many are free to make those that are alike."""
        with self.changing() as connection:
            first = _first(connection, choose)
            if first is None:
                return []
            rows = [first]
            if first.alike:
                same = _WAITING.where(JOBS.c.alike == first.alike, JOBS.c.model == first.model)
                alike = list(connection.execute(same.limit(most * sharing)))
                most = min(most, -(-sum(row.count for row in alike) // sharing))
                rows = _fitting([first, *(row for row in alike if row.id != first.id)], most)
            now = time.time()
            mine = [row for row in rows if self._moved(connection, row.id, ("queued",), state="running", started=now)]
            return [_record(row, state="running", started=now) for row in mine]

    def finish(self, name: str, results: Sequence[str]) -> bool:
        """False if the job was over already: its results are then not wanted."""
        return self._over(name, state="done", results=list(results))

    def fail(self, name: str, code: str, reason: str) -> bool:
        return self._over(name, state="failed", code=code, reason=reason)

    def cancel(self, name: str) -> bool:
        return self._over(name, state="cancelled")

    def requeue(self, name: str | None = None) -> int:
        """Those that were running when a server ended, or one of them, wait again, in their old places. How many they
        are."""
        again = update(JOBS).where(JOBS.c.state == "running").values(state="queued", started=None)
        again = again if name is None else again.where(JOBS.c.id == name)
        with self.changing() as connection:
            return connection.execute(again).rowcount

    def forget(self, name: str) -> bool:
        """Take a job that is over out of the table."""
        with self.changing() as connection:
            gone = delete(JOBS).where(JOBS.c.id == name, JOBS.c.state.in_(OVER))
            return connection.execute(gone).rowcount > 0

    def uses(self, place: str) -> bool:
        """Whether a job that is not over begins from this file."""
        with self.reading() as connection:
            rows = connection.execute(select(JOBS.c.sources).where(JOBS.c.state.in_(ACTIVE)))
            return any(place in row.sources.values() for row in rows)

    def places(self) -> set[str]:
        """All the files that a job begins from, or a client keeps."""
        with self.reading() as connection:
            rows = connection.execute(select(JOBS.c.sources))
            begun = {place for row in rows for place in row.sources.values()}
            return begun | {row.place for row in connection.execute(select(FILES.c.place))}

    def is_kept(self, place: str) -> bool:
        """Whether a client keeps this file."""
        with self.reading() as connection:
            return connection.execute(select(FILES.c.id).where(FILES.c.place == place)).first() is not None

    def counts(self) -> dict[str, int]:
        """State -> how many jobs."""
        query = select(JOBS.c.state, func.count()).group_by(JOBS.c.state)
        with self.reading() as connection:
            return dict(connection.execute(query).all())

    def _over(self, name: str, **values: Any) -> bool:
        with self.changing() as connection:
            return self._moved(connection, name, ACTIVE, finished=time.time(), **values)

    def _moved(self, connection: Any, name: str, states: Sequence[str], **values: Any) -> bool:
        """Change a job if it is in one of these states still: of two who try, one does."""
        change = update(JOBS).where(JOBS.c.id == name, JOBS.c.state.in_(states)).values(**values)
        return connection.execute(change).rowcount > 0

    # ---- files

    def keep(self, kept: Kept) -> Kept:
        with self.changing() as connection:
            connection.execute(insert(FILES).values(**asdict(kept)))
        return kept

    def kept(self, name: str) -> Kept | None:
        if not is_name(name):
            return None
        with self.reading() as connection:
            row = connection.execute(select(FILES).where(FILES.c.id == name)).first()
        return None if row is None else _kept(row)

    def all_kept(
        self, *, purpose: str | None = None, after: str | None = None, limit: int = 100, oldest: bool = False
    ) -> list[Kept]:
        if after is not None and not is_name(after):
            return []
        query = _ordered(FILES, after, oldest).limit(limit)
        query = query.where(FILES.c.purpose == purpose) if purpose else query
        with self.reading() as connection:
            return [_kept(row) for row in connection.execute(query)]

    def bytes_kept(self) -> int:
        with self.reading() as connection:
            return connection.execute(select(func.coalesce(func.sum(FILES.c.bytes), 0))).scalar_one()

    def drop(self, name: str) -> bool:
        with self.changing() as connection:
            return connection.execute(delete(FILES).where(FILES.c.id == name)).rowcount > 0


def is_name(name: str) -> bool:
    """Whether it could be an id; databases differ in what of other texts they break on."""
    return len(name) <= 64 and name.isascii() and name.replace("_", "").replace("-", "").isalnum()


def _opened(url: str) -> Engine:
    # as many connections as threads ask for
    engine = create_engine(url, pool_pre_ping=not url.startswith("sqlite"), max_overflow=-1)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _prepared)
        event.listen(engine, "begin", _begun)
    return engine


def _prepared(connection: Any, _: Any) -> None:
    """Readers and a writer at once, a transaction that is on the disk when it ends, and one that is begun by us: the
    driver would begin it too late to hold what was read before the first write."""
    connection.isolation_level = None
    for pragma in ("journal_mode=WAL", "synchronous=FULL", f"busy_timeout={WAIT}"):
        connection.execute(f"PRAGMA {pragma}")


def _begun(connection: Any) -> None:
    """Who will write is alone from the first thing that is read on."""
    connection.exec_driver_sql("BEGIN IMMEDIATE" if connection.get_execution_options().get("writes", True) else "BEGIN")


def _first(connection: Connection, choose: Choice | None) -> Row | None:
    """The job that is taken next."""
    if choose is None:
        return connection.execute(_WAITING.limit(1)).first()
    named = select(JOBS.c.id, JOBS.c.model, JOBS.c.created).where(JOBS.c.state == "queued").order_by(JOBS.c.number)
    job = choose(connection.execute(named).all())
    return None if job is None else connection.execute(select(JOBS).where(JOBS.c.id == job.id)).first()


def _counting(states: Sequence[str]) -> Select:
    return select(func.count()).select_from(JOBS).where(JOBS.c.state.in_(states))


def _ordered(table: Table, after: str | None, oldest: bool) -> Select:
    """The rows in the order in which they came, or the other way round, from the one after that of this id on."""
    query = select(table).order_by(table.c.number if oldest else table.c.number.desc())
    if after is None:
        return query
    last = select(table.c.number).where(table.c.id == after).scalar_subquery()
    return query.where(table.c.number > last if oldest else table.c.number < last)


def _fitting(rows: Sequence[Row], most: int) -> list[Row]:
    """The first of them, and those after it that still fit."""
    taken, room = [rows[0]], most - rows[0].count
    for row in rows[1:]:
        if row.count <= room:
            taken.append(row)
            room -= row.count
    return taken


def _record(row: Row, **changed: Any) -> Record:
    values: Mapping[str, Any] = row._mapping
    values = {key: value for key, value in values.items() if key != "number"} | changed
    return Record(**{**values, "results": tuple(values["results"])})


def _kept(row: Row) -> Kept:
    return Kept(**{key: value for key, value in row._mapping.items() if key != "number"})

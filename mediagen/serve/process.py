"""A process of its own for what takes long or may break, and calls into it.

A call names a method and gives its arguments; what comes back is a value or, of a method that yields, event after
event. Methods that yield do the heavy work: they run one after the other, all in one thread, since each thread that
computes keeps memory of its own. When the process dies its calls end with `Gone`, and the next one finds a new process.
"""

import logging
import multiprocessing
import os
import signal
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from inspect import isgeneratorfunction
from logging.handlers import QueueHandler
from multiprocessing.connection import Connection
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Event, Lock, Thread
from types import GeneratorType
from typing import Any

from .errors import Refused, reason

LOG = logging.getLogger("mediagen.serve")
HEAVY = (
    "mediagen.pipelines.base",
    "mediagen.serve.studio",
    "mediagen.serve.lab",
)  # what is loaded once, before it divides
CONTEXT = multiprocessing.get_context("forkserver")
CALLS = 8  # that one process works at together
PATIENCE = 10.0  # seconds in which a call that takes too long may leave of its own accord


class Gone(Exception):
    """The process died."""

    def __init__(self, code: int | None) -> None:
        super().__init__(code)
        self.code = code

    def __str__(self) -> str:
        if self.code is None or self.code >= 0:
            return f"the process that made it ended with {self.code}"
        killed = signal.Signals(-self.code).name
        hint = "; is there too little memory?" if killed == "SIGKILL" else ""
        return f"the process that made it was ended by {killed}{hint}"


class Late(Exception):
    """It takes longer than it may."""


class Broken(Exception):
    """Something else went wrong in the process. reason: in a line; trace: all of it, where nobody foresaw it."""

    def __init__(self, reason: str, trace: str = "") -> None:
        super().__init__(reason, trace)
        self.reason, self.trace = reason, trace

    def __str__(self) -> str:
        return self.reason


class Process:
    """`build(*args)` in a process, which is started when it is first called, and again when it has died."""

    def __init__(self, name: str, build: Callable[..., Any], *args: Any) -> None:
        self._name, self._build, self._args = name, build, args
        self._lock = Lock()
        self._link: _Link | None = None
        self.deaths = 0  # of its own accord, that were noticed so far

    def start(self) -> "_Link":
        """The process that runs."""
        with self._lock:
            if self._link is None or self._link.dead:
                self.deaths += self._link is not None
                CONTEXT.set_forkserver_preload(list(HEAVY))
                self._link = _Link(self._name, self._build, self._args)
            return self._link

    @property
    def pid(self) -> int | None:
        return None if self._link is None else self._link.process.pid

    def call(self, name: str, *args: Any, again: bool = True) -> Any:
        """The value of `name(*args)`; asked once more if the process dies of it or of something else. Refused, Broken
        or Gone."""
        try:
            return self.begin(name, *args).value()
        except Gone:
            if not again:
                raise
            return self.begin(name, *args).value()

    def begin(self, name: str, *args: Any) -> "Call":
        return self.start().ask(name, args)

    def tell(self, name: str, *args: Any) -> None:
        """A call whose end nobody waits for; nothing if there is no process."""
        if self._link is not None and not self._link.dead:
            with suppress(Gone):
                self._link.ask(name, args).forget()

    @property
    def alive(self) -> bool:
        """False before it is first started, and from its death until it is started again."""
        return self._link is not None and not self._link.dead

    def stop(self) -> None:
        with self._lock:
            if self._link is not None:
                self._link.kill()


class Call:
    """One that is on its way. until: when its events are to be over (of time.monotonic)."""

    def __init__(self, link: "_Link", number: int) -> None:
        self._link, self._number = link, number
        self.until = float("inf")
        self.answers: SimpleQueue[tuple[str, Any]] = SimpleQueue()

    def value(self) -> Any:
        """What it returns."""
        try:
            return self._next(self.until)[1]
        finally:
            self.forget()

    def events(self) -> Iterator[Any]:
        """What it yields. `Late` if it is not over by `until`: it is left, and if it cannot be left the process is
        ended."""
        try:
            while True:
                kind, value = self._next(self.until)
                if kind == "done":
                    return
                yield value
        except Late:
            self.leave()
            if not self._over(time.monotonic() + PATIENCE):
                LOG.error("the process %s is stuck and is ended", self._link.process.name)
                self._link.kill()
            raise
        finally:
            self.leave()
            self.forget()

    def leave(self) -> None:
        """End it before its next event."""
        self._link.send((self._number, None, None))

    def forget(self) -> None:
        self._link.calls.pop(self._number, None)

    def _next(self, until: float) -> tuple[str, Any]:
        left = None if until == float("inf") else max(0.0, until - time.monotonic())
        try:
            kind, value = self.answers.get(timeout=left)
        except Empty:
            raise Late from None
        if kind == "error":
            raise value
        return kind, value

    def _over(self, until: float) -> bool:
        """Whether it ends by then, however."""
        try:
            while self._next(until)[0] != "done":
                pass
        except Late:
            return False
        except (Gone, Broken, Refused):
            pass
        return True


class _Link:
    """One life of a process."""

    def __init__(self, name: str, build: Callable[..., Any], args: tuple[Any, ...]) -> None:
        ours, theirs = CONTEXT.Pipe()
        self.process = CONTEXT.Process(target=_inside, args=(theirs, build, args), name=name, daemon=True)
        self.process.start()
        theirs.close()
        self.calls: dict[int, Call] = {}
        self.dead = self._killed = False
        self._connection, self._count = ours, 0
        self._lock, self._sending = Lock(), Lock()
        Thread(target=self._read, name=f"{name}-answers", daemon=True).start()

    def ask(self, name: str, args: tuple[Any, ...]) -> Call:
        with self._lock:
            if self.dead:
                raise Gone(self.process.exitcode)
            self._count += 1
            number = self._count
            call = self.calls[number] = Call(self, number)
        self.send((number, name, args))
        return call

    def send(self, message: tuple[int, str | None, Any]) -> None:
        """If nobody hears it any more, `_read` tells who waits."""
        try:
            with self._sending:
                self._connection.send(message)
        except OSError:
            pass

    def kill(self) -> None:
        self._killed = True
        self.process.kill()

    def _read(self) -> None:
        try:
            while True:
                number, kind, value = self._connection.recv()
                if kind == "log":
                    logging.getLogger(value.name).handle(value)
                elif (call := self.calls.get(number)) is not None:
                    call.answers.put((kind, value))
        except (EOFError, OSError):
            pass
        self.process.join()
        with self._lock:
            self.dead = True
        if not self._killed:
            LOG.warning("%s: %s", self.process.name, Gone(self.process.exitcode))
        for call in list(self.calls.values()):
            call.answers.put(("error", Gone(self.process.exitcode)))
        self._connection.close()


# ---- inside


def _inside(connection: Connection, build: Callable[..., Any], args: tuple[Any, ...]) -> None:
    """Answer calls until the other side is gone, however it went."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the server, which ends this process in its time
    with suppress(OSError):  # where memory runs out, the system ends this process and not the server
        Path("/proc/self/oom_score_adj").write_text("500")
    calls = _Answering(connection)
    _log_to(lambda record: calls.send(0, "log", record))
    room, threads, heavy = build(*args), ThreadPoolExecutor(CALLS), ThreadPoolExecutor(1)
    while True:
        try:
            number, name, given = connection.recv()
        except (EOFError, OSError):
            os._exit(0)
        if name is None:
            calls.left.get(number, Event()).set()
        else:
            calls.left[number] = Event()
            method = getattr(room, name)
            (heavy if isgeneratorfunction(method) else threads).submit(calls.answer, number, method, given)


class _Answering:
    """left: of each call that runs, whether it is to end early."""

    def __init__(self, connection: Connection) -> None:
        self.left: dict[int, Event] = {}
        self._connection, self._sending = connection, Lock()

    def send(self, number: int, kind: str, value: Any) -> None:
        with self._sending:
            self._connection.send((number, kind, value))

    def answer(self, number: int, method: Callable[..., Any], args: tuple[Any, ...]) -> None:
        try:
            self.send(number, "done", self._run(number, method(*args)))
        except Refused as error:
            self.send(number, "error", error)
        except BaseException as error:
            foreseen = isinstance(error, ValueError | OSError | MemoryError)
            self.send(number, "error", Broken(reason(error), "" if foreseen else traceback.format_exc()))
        finally:
            del self.left[number]

    def _run(self, number: int, value: Any) -> Any:
        if not isinstance(value, GeneratorType):
            return value
        with closing(value):
            for event in value:
                self.send(number, "event", event)
                if self.left[number].is_set():
                    break
        return None


def _log_to(told: Callable[[logging.LogRecord], None]) -> None:
    """What is logged here is logged by the server."""

    class Told(QueueHandler):
        def enqueue(self, record: logging.LogRecord) -> None:
            told(record)

    handler = Told(SimpleQueue())
    handler.setFormatter(logging.Formatter("%(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    LOG.setLevel(logging.INFO)

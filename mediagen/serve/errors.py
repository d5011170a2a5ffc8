"""What is refused, in the shape in which OpenAI's API says it."""

from dataclasses import asdict, dataclass
from errno import EDQUOT, ENOSPC
from typing import Any


@dataclass(kw_only=True)
class Refused(Exception):
    """An answer other than what was asked for. status: of HTTP; code: for programs; param: the field that is wrong;
    after: seconds after which it may be tried again."""

    message: str
    status: int = 400
    code: str = "invalid_value"
    param: str | None = None
    after: int | None = None

    def __str__(self) -> str:
        return self.message

    def __reduce__(self) -> tuple[Any, ...]:
        """It may come out of another process."""
        return _again, (asdict(self),)

    @property
    def headers(self) -> dict[str, str]:
        asks = {"www-authenticate": "Bearer"} if self.status == 401 else {}
        return asks if self.after is None else {**asks, "retry-after": str(self.after)}

    @property
    def body(self) -> dict[str, Any]:
        """{"error": {"message", "type", "param", "code"}}"""
        param = None if self.param is None else written(self.param)
        about = {"message": written(self.message), "type": kind(self.status), "param": param, "code": self.code}
        return {"error": about}


def _again(values: dict[str, Any]) -> Refused:
    return Refused(**values)


def kind(status: int) -> str:
    """OpenAI's type of an error, by its status."""
    named = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
    return named.get(status, "invalid_request_error" if status < 500 else "server_error")


def written(text: str) -> str:
    """What a client wrote and is told again, with nothing in it that cannot be written: halves of letters, zeros."""
    return text.encode("utf-8", "replace").decode().replace("\0", "?")


def storage_full(what: str) -> Refused:
    return Refused(message=f"there is no room for {what}", status=507, code="storage_full")


def is_full(error: BaseException) -> bool:
    """Whether a disk, or someone's part of it, has no room."""
    return isinstance(error, OSError) and error.errno in (ENOSPC, EDQUOT)


def missing(what: str, name: str) -> Refused:
    return Refused(message=f"there is no {what} {name[:80]!r}", status=404, code="not_found")


def reason(error: BaseException) -> str:
    """One line of why something failed, for the person who asked. Errors that no input explains are named by their kind
    as well."""
    text = " ".join(str(error).split())[:500]
    return text if isinstance(error, ValueError | Refused) and text else f"{type(error).__name__}: {text}".rstrip(": ")

"""
The log, for people or for programs: one line for each event, with the ids of what it is about, and never an address.

Modules log by the standard library's `logging`, with ids in `extra`; structlog stands at the door alone, where lines are written,
and is imported by what runs for long. Whatever logs here, our libraries too, goes through the same redaction.
"""

import logging
import sys
from collections.abc import MutableMapping
from typing import IO, Any

import structlog

from digest.redaction import redacted
from digest.settings import Settings

IDS = ("edition", "mailing", "batch", "delivery", "cause", "subject", "state", "who", "did", "number", "total")
"""What `extra` may add to a line. Anything else that a library puts there stays out."""

CHATTY = ("uvicorn", "apscheduler", "asyncio", "sqlalchemy", "python_http_client", "sendgrid")
"""Libraries whose events are of no use below a warning; some of them write rows, keys or bodies there."""

Line = MutableMapping[str, Any]


def set_up(settings: Settings, *, out: IO[str] | None = None) -> None:
    """From now on every event goes to `out` (the error stream) as the settings say. To be called once in a process."""
    handler = logging.StreamHandler(out or sys.stderr)
    handler.setFormatter(_formatter(settings))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level.upper())
    for name in CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)


def _formatter(settings: Settings) -> logging.Formatter:
    first: list[Any] = [
        structlog.stdlib.add_log_level, structlog.stdlib.add_logger_name, structlog.stdlib.ExtraAdder(allow=IDS),
        structlog.processors.TimeStamper(fmt="iso", utc=True), structlog.processors.format_exc_info,
    ]  # fmt: skip
    written = (
        structlog.processors.JSONRenderer(ensure_ascii=False)
        if settings.log == "json"
        else structlog.dev.ConsoleRenderer(
            colors=False, pad_event_to=0, exception_formatter=structlog.dev.plain_traceback
        )
    )
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=first,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, Redactor(settings), written],
    )


class Redactor:
    """The processor that hides addresses, tokens and every secret of the settings, in whatever a line holds."""

    def __init__(self, settings: Settings) -> None:
        self._secrets = secrets_of(settings)

    def __call__(self, _logger: Any, _method: str, line: Line) -> Line:
        return {name: self._hidden(value) for name, value in line.items()}

    def _hidden(self, value: Any) -> Any:
        return value if isinstance(value, (int, float)) or value is None else redacted(str(value), self._secrets)


def secrets_of(settings: Settings) -> tuple[str, ...]:
    """Every secret word of the settings, the longest first, and the parts of those that are lists."""
    found = set()
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if hasattr(value, "get_secret_value"):
            whole = value.get_secret_value()
            found |= {whole, *(part.rpartition(":")[2] for part in whole.split(","))}
    found |= {settings.alarm_webhook, settings.heartbeat_url, settings.database.partition("//")[2].partition("@")[0]}
    return tuple(sorted(found - {""}, key=len, reverse=True))

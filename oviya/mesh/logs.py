"""Structured logs.  What people say and secrets never appear above debug level."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import warnings
from types import TracebackType
from typing import Any, TextIO

import structlog

from oviya.mesh import metrics
from oviya.mesh.redaction import Redactor, log_id, secrets_of, without_values
from oviya.mesh.settings import ServiceSettings

__all__ = ["configure_logs", "log_id", "log_loop_failure"]

log = structlog.get_logger()

NOISY = ("aioice", "aiortc", "aiohttp.access", "asyncio", "httpx", "httpcore", "numba", "matplotlib")
"""Libraries that log every packet or URL.  Only their warnings and errors are logged."""
LOOP_MESSAGES = frozenset(
    {
        "Task exception was never retrieved",
        "Future exception was never retrieved",
        "Task was destroyed but it is pending!",
        "Unclosed client session",
        "Unclosed connection",
        "Unclosed connector",
        "Fatal read error on socket transport",
        "Fatal write error on socket transport",
    }
)
"""Messages of the event loop's exception handler that may be logged; others may contain arguments of a callback."""


def configure_logs(service: str, settings: ServiceSettings) -> None:
    """Logs to standard error, including warnings and unhandled exceptions, with values redacted.

    Every line has the service's name.  Above debug level no line contains an exception's message, a local variable or
    an argument of another library's log call; secrets in `settings` are hidden at every level.
    """
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    verbose = level <= logging.DEBUG
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso"),
        Redactor(verbose=verbose, secrets=secrets_of(settings)),
    ]
    # Set explicitly: by default the renderer uses rich or better_exceptions if installed.
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if settings.log_format == "json"
        else structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    )
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = _Handler(sys.stderr, verbose=verbose)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for noisy in NOISY:
        logging.getLogger(noisy).setLevel(max(level, logging.WARNING))
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(service=service)
    sys.excepthook = _log_process_failure
    sys.unraisablehook = _log_unraisable
    threading.excepthook = _log_thread_failure
    warnings.showwarning = _log_warning


def log_loop_failure(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Logs and counts unhandled exceptions of the event loop.  A handler for `loop.set_exception_handler`."""
    metrics.UNHANDLED.labels("event loop").inc()
    message = str(context.get("message", ""))
    log.error(
        "unhandled exception in the event loop",
        what=message if message in LOOP_MESSAGES else "",
        where=_name_of(context),
        exc_info=context.get("exception"),
    )


class _Handler(logging.StreamHandler[TextIO]):
    """Writes records; unless `verbose`, those of other libraries without values."""

    def __init__(self, stream: TextIO, *, verbose: bool) -> None:
        super().__init__(stream)
        self._verbose = verbose

    def emit(self, record: logging.LogRecord) -> None:
        # structlog's records are dictionaries, which the processors have redacted.
        if not self._verbose and not isinstance(record.msg, dict):
            try:
                record = without_values(record)
            except Exception:
                self.handleError(record)
                return
        super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  (logging's name)
        """Reports the failure without the record's message and arguments, which logging's own method would print."""
        self.stream.write(f"a log record of {record.name} at {record.module}:{record.lineno} could not be written\n")


def _log_process_failure(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        return
    metrics.UNHANDLED.labels("process").inc()
    log.critical("the process ends with an unhandled exception", exc_info=error.with_traceback(trace))


def _log_unraisable(unraisable: Any) -> None:
    metrics.UNHANDLED.labels("destructor").inc()
    name = getattr(unraisable.object, "__qualname__", type(unraisable.object).__name__)
    log.error("unhandled exception where none can be raised", where=name, exc_info=unraisable.exc_value)


def _log_thread_failure(failure: threading.ExceptHookArgs) -> None:
    if failure.exc_type is SystemExit:
        return
    metrics.UNHANDLED.labels("thread").inc()
    thread = failure.thread.name if failure.thread is not None else ""
    log.error("a thread ended with an unhandled exception", thread=thread, exc_info=failure.exc_value)


def _log_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    _file: TextIO | None = None,
    _line: str | None = None,
) -> None:
    log.warning("python warning", category=category.__name__, file=filename, line=lineno)
    log.debug("python warning", category=category.__name__, message=str(message))


def _name_of(context: dict[str, Any]) -> str:
    """Returns the name of the coroutine or callback that failed.  Its repr would show arguments."""
    task: Any = context.get("task") or context.get("future")
    if hasattr(task, "get_coro"):
        return getattr(task.get_coro(), "__qualname__", "")
    callback: Any = getattr(context.get("handle"), "_callback", None)
    return getattr(callback, "__qualname__", "")

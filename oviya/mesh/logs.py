"""Structured logs.  What people say is never logged above debug."""

from __future__ import annotations

import hashlib
import logging
import sys

import structlog

from oviya.mesh.settings import ServiceSettings


def configure_logs(service: str, settings: ServiceSettings) -> None:
    """Sends structlog and the standard library's log to standard error, every line with the service's name."""
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso"),
    ]
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if settings.log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    if settings.log_format == "json":
        shared.append(structlog.processors.format_exc_info)
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # Libraries that narrate every packet, or what is asked in a URL, stay quiet unless something is wrong.
    for noisy in ("aioice", "aiortc", "aiohttp.access", "asyncio", "httpx", "httpcore", "numba", "matplotlib"):
        logging.getLogger(noisy).setLevel(max(level, logging.WARNING))
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(service=service)


def log_id(name: str) -> str:
    """Returns what the log shows of a name that a caller chose, such as a session's: names may say who somebody is.

    It is the beginning of the name's SHA-256, so that all lines about one name are found together:
    ``printf %s NAME | sha256sum | cut -c1-12``.
    """
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:12]

"""Log lines on stderr, so that stdout stays for what a command answers."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import structlog

from config.settings import Settings


def configure_logs(settings: Settings, out: TextIO | None = None) -> None:
    """Log lines go to stderr, or to `out`, in the form and from the level on that the settings
    name."""
    out = out or sys.stderr
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if settings.log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=out.isatty())
    )
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(out),
        cache_logger_on_first_use=False,
    )


@contextmanager
def logs_into(file: Path, settings: Settings) -> Iterator[None]:
    """Log lines go to the end of a file, and to stderr again afterwards."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with open(file, "a", buffering=1) as log:
        configure_logs(settings, log)
        try:
            yield
        finally:
            configure_logs(settings)

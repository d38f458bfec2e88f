"""What stands around a function that a person runs and watches."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from config.errors import RylaError
from config.logs import configure_logs
from config.settings import Settings, load_settings


@contextmanager
def asked() -> Iterator[Settings]:
    """Of this container. An error's hint is logged: the platform shows its message alone."""
    settings = load_settings(os.environ)
    configure_logs(settings)
    try:
        yield settings
    except RylaError as error:
        log = structlog.get_logger(__name__)
        log.error("failed", code=error.code, error=error.message, hint=error.hint)
        raise

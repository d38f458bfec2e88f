"""The folder of a local stack, as other processes see it.

<folder>/stack.json      settings for other `ryla` processes, while the stack runs
<folder>/lock            held while the stack runs
"""

import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from config.errors import InvalidSetting
from config.settings import Settings

STACK_FILE = "stack.json"
LOCK_FILE = "lock"
LOCK_SECONDS = 0.5
"""How long a lock is waited for that another process may hold for a moment."""


def left_over(folder: Path) -> bool:
    """Whether the folder's stack was killed, so that nothing answers where its file says.

    Raises FileNotFoundError where no stack ever was.
    """
    with open(folder / LOCK_FILE, "rb") as lock:
        return try_lock(lock.fileno())


@contextmanager
def hold(folder: Path) -> Iterator[None]:
    """The folder, locked. Raises InvalidSetting when it is another's."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / LOCK_FILE, "a+b") as lock:
        # Others hold the lock for a moment, to see whether a stack runs.
        if not try_lock(lock.fileno(), LOCK_SECONDS):
            lock.seek(0)
            raise InvalidSetting(
                f"process {lock.read().decode() or '?'} runs the local pipeline over {folder}",
                field="state_dir",
                value=str(folder),
                hint="Submit to that one, stop it, or give another --state-dir.",
            )
        lock.truncate(0)
        lock.write(str(os.getpid()).encode())
        lock.flush()
        yield


def try_lock(descriptor: int, within_s: float = 0.0) -> bool:
    """Whether this open file is now locked against all others, its heirs apart."""
    until = time.monotonic() + within_s
    while True:
        with suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        if time.monotonic() >= until:
            return False
        time.sleep(0.05)


@contextmanager
def publish(folder: Path, settings: Settings, listener: socket.socket | None) -> Iterator[None]:
    """stack.json while the stack runs. It holds the store's secret, so only its owner reads it."""
    secret = settings.secret_access_key
    assert secret is not None
    values = {
        "bucket": settings.bucket,
        "endpoint_url": settings.endpoint_url,
        "access_key_id": settings.access_key_id,
        "secret_access_key": secret.get_secret_value(),
        "region": settings.region,
        "addressing_style": settings.addressing_style,
        "state_dir": str(settings.state_dir),
        "events_file": str(settings.events_file),
    }
    if listener is not None:
        host, port = listener.getsockname()[:2]
        values |= {"api_host": host, "api_port": str(port)}
    file, new = folder / STACK_FILE, folder / f"{STACK_FILE}.new"
    new.unlink(missing_ok=True)
    new.touch(mode=0o600)
    new.write_text(json.dumps(values, indent=1))
    new.replace(file)
    try:
        yield
    finally:
        file.unlink(missing_ok=True)

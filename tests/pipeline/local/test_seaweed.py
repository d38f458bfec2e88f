import socket
from pathlib import Path

import pytest

from config.errors import StoreUnavailable
from config.settings import Settings
from pipeline.local import seaweed
from pipeline.local.seaweed import SeaweedServer
from pipeline.store.conditional import SafeStore
from pipeline.store.open import open_checked_store


def bucket(server: SeaweedServer) -> SafeStore:
    server.create_bucket("things")
    return open_checked_store(Settings.model_validate(server.settings("things")))


def test_what_it_acknowledged_outlives_its_sudden_end(tmp_path: Path) -> None:
    server = SeaweedServer(tmp_path)
    server.start()
    bucket(server).create("inbox/a.json", b"{}")
    endpoint = server.endpoint
    server.kill()
    assert not server.running

    server.start()
    assert server.endpoint == endpoint
    try:
        stored = bucket(server).get("inbox/a.json")
    finally:
        server.kill()

    assert stored is not None
    assert stored.body == b"{}"


def test_two_servers_never_run_over_one_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seaweed, "STOP_SECONDS", 0.2)
    with SeaweedServer(tmp_path / "store") as server:
        with pytest.raises(StoreUnavailable, match="another server"):
            SeaweedServer(tmp_path / "store").start()

        assert server.running


def test_credentials_are_made_once_and_for_the_owner_alone(tmp_path: Path) -> None:
    first = seaweed.Credentials.of(tmp_path)

    assert seaweed.Credentials.of(tmp_path) == first
    assert (tmp_path / "s3.json").stat().st_mode & 0o077 == 0


def test_a_server_that_cannot_start_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "s3.json").write_text(
        '{"identities": [{"name": "x", "credentials": [{"accessKey": "a", "secretKey": "b"}],'
        ' "actions": 7}]}'
    )
    monkeypatch.setattr(seaweed, "READY_SECONDS", 5.0)
    server = SeaweedServer(tmp_path)

    with pytest.raises(StoreUnavailable, match="did not start: it ended") as error:
        server.start()

    assert error.value.log_tail
    assert not server.running


def test_no_port_is_the_one_above_another() -> None:
    dependencies = seaweed._free_ports(
        600
    )  # so many that two would be such a pair, were it not looked at

    assert not {port + 10_000 for port in dependencies} & set(dependencies)


def test_a_port_that_was_taken_meanwhile_is_replaced_and_the_new_ones_are_kept(
    tmp_path: Path,
) -> None:
    file = tmp_path / "ports.json"
    first = seaweed._same_ports(file)
    assert seaweed._same_ports(file) == first
    with socket.socket() as other:
        other.bind(("127.0.0.1", first[0]))
        other.listen()
        second = seaweed._same_ports(file)

    assert first[0] not in second
    assert seaweed._same_ports(file) == second
    file.write_text("torn")
    assert len(set(seaweed._same_ports(file))) == 5

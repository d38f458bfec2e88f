from importlib import metadata

import pytest

from config.version import package_version


def test_the_version_is_that_of_the_installed_package() -> None:
    assert package_version() == metadata.version("ryla-pipeline")


def test_what_is_not_installed_is_unreleased(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", missing)

    assert package_version.__wrapped__() == "unreleased"  # it is asked once in a process

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest

from tests.support.yard import Yard


class MakeYard(Protocol):
    def __call__(self, **options: Any) -> Yard: ...


@pytest.fixture
def make_yard(tmp_path: Path) -> Iterator[MakeYard]:
    yards: list[Yard] = []

    def make(**options: Any) -> Yard:
        yards.append(Yard(tmp_path=tmp_path, **options))
        return yards[-1]

    yield make
    for yard in yards:
        yard.close()


@pytest.fixture
def yard(make_yard: MakeYard) -> Yard:
    """Jobs run as they are spawned."""
    return make_yard()


@pytest.fixture
def holding(make_yard: MakeYard) -> Yard:
    """Spawned jobs wait for a worker that never comes."""
    return make_yard(holding=True)

import io
import zipfile
from collections.abc import Iterator
from itertools import pairwise

from pipeline.datasets.zip_file import write_zip

MEMBERS = [("img/10_a b/01.png", b"\x89PNG"), ("README.txt", "Zoë".encode())]


def written(members: list[tuple[str, bytes]]) -> bytes:
    file = io.BytesIO()
    write_zip(file, members)
    return file.getvalue()


def test_its_bytes_depend_on_nothing_but_names_contents_and_order() -> None:
    assert written(MEMBERS) == written(MEMBERS)
    assert written(MEMBERS) != written(MEMBERS[::-1])


def test_nothing_of_the_time_or_the_machine_is_in_it() -> None:
    archive = zipfile.ZipFile(io.BytesIO(written(MEMBERS)))
    assert archive.comment == b""
    for info in archive.infolist():
        assert info.compress_type == zipfile.ZIP_STORED
        assert info.date_time == (1980, 1, 1, 0, 0, 0)
        assert (info.create_system, info.external_attr >> 16, info.extra) == (3, 0o100644, b"")
        assert not info.flag_bits & 0x08, "sizes stand before the contents"


def test_the_bytes_of_a_small_one_are_these_on_every_machine_and_python() -> None:
    assert written([("a.txt", b"hi")]).hex() == (
        "504b030414000000000000002100ac2a93d80200000002000000"
        "05000000612e7478746869504b01021403140000000000000021"
        "00ac2a93d802000000020000000500000000000000000000"
        "00a48100000000612e747874504b050600000000010001003300"
        "0000250000000000"
    )


def test_it_can_be_read_back_whole() -> None:
    archive = zipfile.ZipFile(io.BytesIO(written(MEMBERS)))
    assert archive.testzip() is None
    assert [(name, archive.read(name)) for name in archive.namelist()] == MEMBERS


def test_one_member_at_a_time_is_asked_for() -> None:
    asked = []

    def members() -> Iterator[tuple[str, bytes]]:
        for number in range(3):
            asked.append(file.tell())
            yield f"{number}.bin", bytes(1000)

    file = io.BytesIO()
    write_zip(file, members())
    assert asked[0] == 0
    assert all(later - before > 1000 for before, later in pairwise(asked))

import gzip
from pathlib import Path

import pytest

from config.errors import InvalidInput, ManifestNotJson
from pipeline.contract.document import read_document
from pipeline.jobs.manifest_files import read_sources


def test_a_json_file_is_one_manifest_with_its_name_for_an_id(tmp_path: Path) -> None:
    (tmp_path / "cat.json").write_text("{}")
    [source] = read_sources([tmp_path / "cat.json"])

    assert (source.file_id, source.body, source.folder) == ("cat", b"{}", tmp_path)


def test_each_line_of_jsonl_is_a_manifest_and_blank_lines_are_none(tmp_path: Path) -> None:
    (tmp_path / "many.jsonl").write_text('{"a": 1}\n\n  \n{"a": 2}')
    sources = list(read_sources([tmp_path / "many.jsonl"]))

    assert [source.body for source in sources] == [b'{"a": 1}', b'{"a": 2}']
    assert [source.name[-13:] for source in sources] == ["/many.jsonl:1", "/many.jsonl:4"]
    assert {source.file_id for source in sources} == {None}


def test_a_folder_gives_its_manifests_by_name_and_nothing_else(tmp_path: Path) -> None:
    for name in ("b.json", "a.json", "c.jsonl", "notes.md"):
        (tmp_path / name).write_text("{}")
    (tmp_path / "deeper").mkdir()
    (tmp_path / "deeper" / "d.json").write_text("{}")

    names = [Path(source.name).name for source in read_sources([tmp_path])]
    assert names == ["a.json", "b.json", "c.jsonl:1"]


def test_any_file_that_is_named_is_read_as_one_manifest(tmp_path: Path) -> None:
    (tmp_path / "manifest.txt").write_text("{}")

    [source] = read_sources([tmp_path / "manifest.txt"])
    assert source.file_id == "manifest"


def test_an_empty_folder_and_a_missing_file_are_errors(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="holds no manifests"):
        list(read_sources([tmp_path]))
    with pytest.raises(InvalidInput, match="No such file"):
        list(read_sources([tmp_path / "missing.json"]))


def test_lines_behind_a_byte_order_mark_and_lines_that_are_no_text(tmp_path: Path) -> None:
    text = '{"a": 1}\n{"a": 2}'
    (tmp_path / "marked.jsonl").write_text(text, "utf-8-sig")
    (tmp_path / "wide.jsonl").write_text(text, "utf-16")
    (tmp_path / "packed.jsonl").write_bytes(gzip.compress(text.encode()))

    marked = list(read_sources([tmp_path / "marked.jsonl"]))
    assert [read_document(source.body) for source in marked] == [{"a": 1}, {"a": 2}]
    for name, form in (("wide", "UTF-16"), ("packed", "gzip")):
        [source] = read_sources([tmp_path / f"{name}.jsonl"])
        with pytest.raises(ManifestNotJson, match=form):
            read_document(source.body)

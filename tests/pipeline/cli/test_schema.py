from pathlib import Path

from pipeline.contract.schemas import SCHEMAS, schema
from tests.pipeline.cli.conftest import Ryla


def test_one_is_printed(bare_ryla: Ryla) -> None:
    assert bare_ryla("schema", "lease").document == schema("lease")


def test_all_are_printed_by_name(bare_ryla: Ryla) -> None:
    assert set(bare_ryla("schema").document) == set(SCHEMAS)


def test_they_are_written_into_a_folder(bare_ryla: Ryla, tmp_path: Path) -> None:
    answer = bare_ryla("schema", "--out", tmp_path / "schemas", "--json")

    assert set(answer.document) == set(SCHEMAS)
    assert len(list((tmp_path / "schemas").glob("*.schema.json"))) == len(SCHEMAS)
    assert "lease.schema.json" in bare_ryla("schema", "lease", "--out", tmp_path).out

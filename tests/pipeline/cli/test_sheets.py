from pipeline.store.conditional import SafeStore
from tests.pipeline.cli.conftest import Ryla


def test_batches_are_listed_by_name_and_strangers_passed_over(ryla: Ryla, store: SafeStore) -> None:
    for key in ("batches/spring.json", "batches/autumn-2.json", "batches/A b.json", "batches/x"):
        store.create(key, b"{}")

    assert ryla("sheets", "list", "--json").document == {"batches": ["autumn-2", "spring"]}
    assert ryla("sheets", "list").out.split() == ["batch", "autumn-2", "spring"]

from pipeline.batches.named import sheets_named
from pipeline.contract.keys import batch_key, result_key
from pipeline.contract.result import Result
from pipeline.contract.tombstone import begun_tombstone, tombstone_body
from pipeline.store.conditional import SafeStore
from pipeline.store.memory import MemoryStore
from tests.support.batches import a_batch, end_sheet

BATCH = a_batch("Ann", "Bob", "Cleo")
ANN, BOB, CLEO = (row.id for row in BATCH.rows)


def forget(store: SafeStore, id: str) -> None:
    stored = store.get(result_key(id))
    assert stored is not None
    ended, now = Result.parse(stored.body), store.now()
    tombstone = begun_tombstone(id, ended, tenant=None, nonce="n", now=now, quiet_at=now, left=())
    store.replace(result_key(id), tombstone_body(tombstone), stored.etag)


def test_a_batch_stands_for_its_sheets_but_those_that_are_forgotten() -> None:
    store = SafeStore(MemoryStore())
    store.create(batch_key(BATCH.name), BATCH.body())
    for id in (ANN, BOB):
        end_sheet(store, id)
    forget(store, ANN)
    named = sheets_named(store, [BATCH.name, "another"])
    assert named.ids == (BOB, "another")
    assert [line.row.id for line in named.lines] == [BOB, CLEO]
    assert [line.row.id for line in named.unfinished] == [CLEO]

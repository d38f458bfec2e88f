from config.settings import Settings
from pipeline.batches.page.reader import MAX_RESULT_BYTES, read_page
from pipeline.contract.keys import batch_key, result_key, review_key
from pipeline.contract.result import Result
from pipeline.contract.tombstone import begun_tombstone, tombstone_body
from pipeline.jobs.hold_ups import read_hold_ups
from pipeline.reviews.review import Mark, Verdict, change_review
from pipeline.runtime import load_runtime
from pipeline.store.base import Stored
from pipeline.store.conditional import SafeStore
from pipeline.store.memory import MemoryStore
from tests.support.batch_pages import fill_batch, no_picture
from tests.support.batches import a_batch, end_sheet, view_output

BATCH = a_batch("Ann", "Bob", "Cleo")
ANN, BOB, CLEO = (row.id for row in BATCH.rows)


class WatchedStore(MemoryStore):
    def __init__(self) -> None:
        super().__init__()
        self.read: list[str] = []

    def get(self, key: str, *, offset: int = 0, limit: int | None = None) -> Stored | None:
        self.read.append(key)
        return super().get(key, offset=offset, limit=limit)


def test_a_page_is_made_of_the_batchs_own_jobs_alone() -> None:
    raw = WatchedStore()
    store = SafeStore(raw)
    fill_batch(store, BATCH)
    fill_batch(store, a_batch("Ann", name="winter"))
    raw.read.clear()
    said: list[tuple[str, int, int]] = []
    page = read_page(store, BATCH, no_picture, lambda *each: said.append(each))
    assert [len(card.views) for card in page.cards] == [10, 10, 10]
    assert len(page.thumbnails) == 30
    assert all(each.body for each in page.thumbnails.values())
    assert said[2] == ("sheets", 3, 3)
    assert said[-1] == ("pictures", 30, 30)
    assert not [key for key in raw.read if "winter" in key or batch_key("winter") == key]


def test_what_cannot_be_read_of_a_sheet_is_said_on_its_card() -> None:
    store = SafeStore(MemoryStore())
    end_sheet(store, ANN, outputs=(view_output(1, "front"),))
    change_review(store, ANN, "acme", {"front": Mark(Verdict.KEEP)})
    store.create(review_key(BOB), b"{}")
    end_sheet(store, BOB, outputs=(view_output(1, "front"),))
    end_sheet(store, CLEO)
    stored = store.get(result_key(CLEO))
    assert stored is not None
    padded = stored.body[:-1] + b" " * MAX_RESULT_BYTES + b"}"
    store.replace(result_key(CLEO), padded, stored.etag)
    ann, bob, cleo = read_page(store, BATCH, no_picture).cards
    assert ann.views[0].said is not None
    assert ann.views[0].said.verdict is Verdict.KEEP
    assert "no review of this job" in str(bob.document()["problem"])
    assert cleo.document()["problem"] == "its result cannot be read"
    assert [(view.picture, view.verdicts) for view in cleo.views] == [(None, ())] * 2


def test_of_a_forgotten_sheet_nothing_is_shown_but_that_it_is() -> None:
    store = SafeStore(MemoryStore())
    fill_batch(store, BATCH)
    stored = store.get(result_key(ANN))
    assert stored is not None
    now = store.now()
    forgotten = begun_tombstone(
        ANN, Result.parse(stored.body), tenant=None, nonce="n", now=now, quiet_at=now, left=()
    )
    store.replace(result_key(ANN), tombstone_body(forgotten), stored.etag)
    ann, *others = read_page(store, BATCH, no_picture).cards
    assert (ann.views, ann.document()["state"]) == ((), "forgotten")
    assert [len(card.views) for card in others] == [10, 10]


def test_the_page_says_why_sheets_wait_and_how_many() -> None:
    store = SafeStore(MemoryStore())
    end_sheet(store, ANN)
    for row in BATCH.rows[1:]:
        store.create(f"inbox/4.acme.character-sheet.{row.id}.json", b"{}")
    store.create("stops/tenant.acme", b"")
    hold_ups = read_hold_ups(store, load_runtime(Settings(), "local"))
    page = read_page(store, BATCH, no_picture, hold_ups=hold_ups)
    assert page.waiting == 2
    [why] = page.why_wait
    assert why.startswith("an operator has stopped tenant acme since ")

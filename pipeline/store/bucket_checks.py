"""The checks of the bucket suite: each tries one promise of a store and tells what it saw."""

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TypeVar
from uuid import uuid4

from config.errors import StoreUnavailable
from pipeline.store.base import (
    Busy,
    Condition,
    IfMatch,
    OutcomeUnknown,
    PreconditionFailed,
    Written,
)
from pipeline.store.bucket_bench import Bench
from pipeline.store.conditional import Won
from pipeline.store.probe import honours_if_match_on_delete, probe

T = TypeVar("T")

COUNTS = 5
"""Times that each racer counts up."""
COUNT_S = 120.0
"""Longest that counting may take: R2 takes one write a second to a key."""
NAMES = ("0.t.m.x", "10", "4-x", "4.acme.m.x", "4.acme.m.y", "40", "a", "a-b", "a.b", "a_b", "aa")
"""Inbox names, in the order of their bytes, that tempt a store to sort otherwise."""
STRAYS = ("Bad Name.json", "a+b&c=d.json", "ü€.json", "per%20cent.json")


Result = tuple[bool, str]
"""Whether the promise is kept, and what was seen."""


def _asked_in_turn(bench: Bench) -> Result:
    broken = [item.promise for item in probe(bench.raw, bench.nonce, bench.sleep) if not item.kept]
    return not broken, f"not so: {'; '.join(broken)}" if broken else "each is kept"


def _racing_creates(bench: Bench) -> Result:
    return _one_winner(bench, "created", lambda key, body: partial(bench.store.create, key, body))


def _racing_replaces(bench: Bench) -> Result:
    def racer(key: str, body: bytes) -> Callable[[], object]:
        return partial(bench.store.replace, key, body, etags[key])

    etags = {
        f"{bench.prefix}replaced-{turn}": bench.put(f"replaced-{turn}", b"before").etag
        for turn in range(bench.rounds)
    }
    return _one_winner(bench, "replaced", racer)


def _one_winner(
    bench: Bench, name: str, racer: Callable[[str, bytes], Callable[[], object]]
) -> Result:
    """Of each round's racers exactly one must win, and its body stand there."""
    winners = []
    for turn in range(bench.rounds):
        key, bodies = f"{bench.prefix}{name}-{turn}", [_nonce() for _ in range(bench.racers)]
        outcomes = bench.race([racer(key, body) for body in bodies])
        stored = bench.store.get(key)
        won = [body for body, each in zip(bodies, outcomes, strict=True) if isinstance(each, Won)]
        winners.append(len(won) if stored and stored.body in won else 0)
        bench.store.delete(key)
    good = winners.count(1)
    worst = "" if good == len(winners) else f", {max(winners)} in the worst"
    return good == len(winners), (
        f"{bench.racers} writers at once: one winner in {good} of {bench.rounds} rounds{worst}"
    )


def _counter(bench: Bench) -> Result:
    key, until = f"{bench.prefix}counter", time.monotonic() + COUNT_S
    bench.put("counter", b"0 start")

    def count_up() -> int:
        done = 0
        while done < COUNTS and time.monotonic() < until:
            with suppress(StoreUnavailable):  # busy for so long; R2 may be
                stored = bench.store.get(key)
                if stored is None:
                    break
                body = b"%d %s" % (int(stored.body.split()[0]) + 1, _nonce())
                done += isinstance(bench.store.replace(key, body, stored.etag), Won)
        return done

    counted = sum(bench.race([count_up] * bench.racers))
    stored = bench.store.get(key)
    stands = int(stored.body.split()[0]) if stored else 0
    told = f"{bench.racers} writers counted {counted} times, and {stands} stands there"
    return counted == stands == bench.racers * COUNTS, told


def _lost_replies(bench: Bench) -> Result:
    good = 0
    for turn in range(bench.rounds):
        key = f"{bench.prefix}lost-{turn}"
        first, second = _nonce(), _nonce()
        created = bench.safe(_FirstWriteDeaf(bench)).create(key, first)
        etag = created.etag if isinstance(created, Won) else ""
        replaced = bench.safe(_FirstWriteDeaf(bench)).replace(key, second, etag)
        stored = bench.store.get(key)
        rival = bench.store.create(key, _nonce())
        good += (
            *(isinstance(each, Won) for each in (created, replaced, rival)),
            stored is not None and stored.body == second,
        ) == (True, True, False, True)
    return good == bench.rounds, (
        f"{good} of {bench.rounds} times the writer found its own success"
    )


class _FirstWriteDeaf:
    """The reply to its first write is lost."""

    def __init__(self, bench: Bench) -> None:
        self._raw, self._write_to = bench.raw, [bench.deaf]
        self.get, self.list, self.delete = bench.raw.get, bench.raw.list, bench.raw.delete

    def put(
        self, key: str, body: bytes, condition: Condition, content_type: str = "application/json"
    ) -> Written:
        store = self._write_to.pop() if self._write_to else self._raw
        return store.put(key, body, condition, content_type)


def _reads(bench: Bench) -> Result:
    key, late = f"{bench.prefix}read", 0
    for _ in range(bench.rounds):
        body = _nonce()
        bench.store.write(key, body, "text/plain")
        stored = bench.raw.get(key)
        bench.store.delete(key)
        late += stored is None or stored.body != body or bench.raw.get(key) is not None
    return late == 0, _late(late, bench.rounds)


def _listings(bench: Bench) -> Result:
    def look(number: int) -> int:
        late = 0
        for turn in range(bench.rounds):
            name = f"listed/{number}-{turn}"
            etag = bench.put(name).etag
            shown = bench.entry(name)
            bench.raw.delete(bench.prefix + name)
            gone = bench.entry(name) is None
            late += shown is None or shown.etag != etag or not gone
        return late

    late = sum(bench.race([partial(look, number) for number in range(bench.racers)]))
    return late == 0, _late(late, bench.rounds * bench.racers)


def _late(late: int, of: int) -> str:
    return f"late {late} of {of} times" if late else f"at once, {of} times"


def _order(bench: Bench) -> Result:
    for name in reversed(NAMES):
        bench.put(f"order/{name}")
    wrong = [] if bench.names("order/") == [*NAMES] else ["the order of bytes"]
    for at, name in enumerate(NAMES):
        if bench.names("order/", after=name, limit=2) != [*NAMES[at + 1 : at + 3]]:
            wrong.append(f"StartAfter {name}")
    if bench.names("order/", after="4.acme.m.\x7f", limit=1) != ["40"]:
        wrong.append("StartAfter a key that is not there")
    return not wrong, f"not kept: {', '.join(wrong)}" if wrong else f"{len(NAMES)} keys"


def _etags(bench: Bench) -> Result:
    written = bench.put("etag", b"A").etag
    stored = bench.raw.get(f"{bench.prefix}etag")
    entry = bench.entry("etag")
    same = bench.put("etag.2", b"A").etag == written
    told = f"equal bodies have {'equal' if same else 'different'} ETags"
    agree = stored is not None and entry is not None and written == stored.etag == entry.etag
    return agree, told if agree else f"PUT, GET and LIST tell different ones; {told}"


def _clock(bench: Bench) -> Result:
    before = bench.raw.list(bench.prefix).date
    bench.sleep(1.1)
    written = bench.put("clock")
    entry, date = bench.entry("clock"), bench.raw.list(bench.prefix).date
    if entry is None:
        return False, "a new object is not listed"
    age, ran = date - entry.last_modified, date - before
    kept = timedelta() < ran < timedelta(seconds=10)
    kept = kept and timedelta(seconds=-2) <= age < timedelta(seconds=10)
    kept = kept and abs(written.date - entry.last_modified) < timedelta(seconds=5)
    return kept, (
        f"Date went on by {ran.total_seconds():.0f} s in 1.1; by it a new object is"
        f" {age.total_seconds():.0f} s old"
    )


def _one_key(bench: Bench) -> Result:
    busy = 0
    for _ in range(bench.rounds):
        try:
            bench.put("one")
        except Busy:
            busy += 1
    bench.store.write(f"{bench.prefix}one", last := _nonce(), "text/plain")
    stored = bench.store.get(f"{bench.prefix}one")
    told = f"{bench.rounds} writes in a row, {busy} of them told to come again"
    return stored is not None and stored.body == last, told


def _parts(bench: Bench) -> Result:
    bench.put("part", b"0123456789")

    def part(offset: int, limit: int) -> tuple[bytes, int] | None:
        stored = bench.raw.get(f"{bench.prefix}part", offset=offset, limit=limit)
        return None if stored is None else (stored.body, stored.size)

    asked = {(0, 4): b"0123", (4, 3): b"456", (8, 9): b"89", (10, 1): b""}
    wrong = [f"{n} from {at}" for (at, n), body in asked.items() if part(at, n) != (body, 10)]
    return not wrong, f"wrong: {', '.join(wrong)}" if wrong else f"{len(asked)} of 10 bytes"


def _conditional_delete(bench: Bench) -> Result:
    if not honours_if_match_on_delete(bench.raw, bench.nonce):
        return False, (
            "not honoured: a body put for a used id between compare and delete goes unfiled"
        )
    both = 0
    for turn in range(bench.rounds):
        key, etag = f"{bench.prefix}gone-{turn}", bench.put(f"gone-{turn}", _nonce()).etag
        replacing = partial(bench.raw.put, key, _nonce(), IfMatch(etag))
        deleting = partial(bench.raw.delete, key, IfMatch(etag))
        both += all(bench.race([partial(_succeeds, replacing), partial(_succeeds, deleting)]))
    return both == 0, (
        f"honoured, but beside a racing write both won {both} of {bench.rounds} times"
        if both
        else "honoured, beside a racing write as well"
    )


def _succeeds(call: Callable[[], object]) -> bool:
    try:
        call()
    except (PreconditionFailed, Busy, OutcomeUnknown):
        return False
    return True


def _strays(bench: Bench) -> Result:
    wrong = []
    for name in STRAYS:
        bench.put(f"stray/{name}", name.encode())
        stored, seen = bench.raw.get(f"{bench.prefix}stray/{name}"), bench.names("stray/")
        bench.raw.delete(f"{bench.prefix}stray/{name}")
        kept = stored is not None and stored.body == name.encode() and seen == [name]
        if not kept or bench.names("stray/"):
            wrong.append(name)
    return not wrong, f"not {', '.join(wrong)}" if wrong else f"{len(STRAYS)} odd names"


def _nonce() -> bytes:
    return uuid4().hex.encode()


@dataclass(frozen=True)
class Check:
    name: str
    run: Callable[[Bench], Result]
    carries: str
    """What rests on it."""
    needed: bool = True
    """False where the queue goes on without."""


CHECKS = (
    Check("conditional writes, in turn", _asked_in_turn, "every claim, take-over and commit"),
    Check("racing creates", _racing_creates, "one claim, one copy, one result a job"),
    Check("racing replaces", _racing_replaces, "one take-over of a lease, one start of a job"),
    Check("counter under If-Match", _counter, "no renewal of a lease is lost or undone"),
    Check("lost replies", _lost_replies, "a write whose reply was lost is not taken for another's"),
    Check("reads follow writes", _reads, "a take-over finds the manifest and the result"),
    Check("listings follow writes", _listings, "no waiting job is missed, none is taken twice"),
    Check("order of a listing", _order, "priority, and what a tick may skip"),
    Check("ETags agree", _etags, "a listed lease is taken over by its ETag"),
    Check("the store's clock", _clock, "when a lease has lapsed"),
    Check("writes to one key", _one_key, "renewals of a lease"),
    Check("parts of an object", _parts, "bodies that are too large are not read; headers of LoRAs"),
    Check(
        "conditional DELETE",
        _conditional_delete,
        "a body that conflicts with an id in use is always filed",
        needed=False,
    ),
    Check("odd names", _strays, "entries that are no job's are filed and removed", needed=False),
)

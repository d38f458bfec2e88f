import hashlib
import json

from config.settings import Settings
from handlers.loras.bases import FluxSizes, flux
from handlers.loras.fit import check
from handlers.loras.header import BytesRanges
from pipeline.local.demo.lora import LORA_ID, TRIGGER_WORD, add_demo_lora, make_lora
from pipeline.local.demo.manifests import EXAMPLES, load_examples, read_example
from tests.pipeline.loras.support import Bucket

KEY = "loras/character-demo-muse.safetensors"


def test_it_fits_the_model_that_it_is_made_for_and_is_small() -> None:
    micro = flux(FluxSizes(doubles=2, singles=2, hidden=64))

    for base in (flux(), micro):
        lora = check(BytesRanges(make_lora(base)), base)
        assert lora.ranks == (1,)
        assert len(lora.adapters) == 4

    assert len(make_lora(flux())) < 2**20
    assert make_lora(flux()) == make_lora(flux())


def test_it_lies_in_the_bucket_before_the_examples_that_name_it() -> None:
    bucket = Bucket()

    add_demo_lora(bucket.store, Settings(), load_examples(EXAMPLES))

    body = make_lora(flux())
    stored = bucket.store.get(KEY)
    beside = bucket.store.get("loras/character-demo-muse.json")
    assert stored is not None
    assert beside is not None
    assert stored.body == body
    said = json.loads(beside.body)
    assert (said["trigger_word"], said["character"]) == (TRIGGER_WORD, LORA_ID)
    assert said["sha256"] == hashlib.sha256(body).hexdigest()


def test_other_manifests_do_without_it() -> None:
    bucket = Bucket()
    add_demo_lora(bucket.store, Settings(), [read_example("one", b'{"model": "flux-dev"}')])
    assert not bucket.store.list("").entries

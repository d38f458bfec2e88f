import json

from pipeline.loras.shared_loras import SharedLoras
from tests.pipeline.loras.support import Bucket


def filled() -> Bucket:
    bucket = Bucket()
    sidecars: dict[str, object] = {
        "film": None,
        "ann": {"tenants": ["acme"]},
        "bob": {"tenants": ["zenith", "acme"]},
        "nobody": {"tenants": []},
        "torn": "no JSON",
        "word": {"trigger_word": "ohwx"},
    }
    for name, said in sidecars.items():
        bucket.upload(f"loras/{name}.safetensors", b"x")
        if said is not None:
            bucket.upload(f"loras/{name}.json", json.dumps(said).encode())
    return bucket


def names(loras: SharedLoras, tenant: str) -> str:
    return " ".join(found.key[len("loras/") : -len(".safetensors")] for found in loras.of(tenant))


def test_a_tenant_sees_what_is_shared_and_what_names_it() -> None:
    loras = SharedLoras(filled().store, "loras/")

    assert names(loras, "acme") == "ann bob film word"
    assert names(loras, "zenith") == "bob film word"
    assert names(loras, "other") == "film word"


def test_a_sidecar_that_changed_is_read_again_and_one_that_went_is_forgotten() -> None:
    bucket = filled()
    loras = SharedLoras(bucket.store, "loras/")
    assert names(loras, "other") == "film word"
    bucket.upload("loras/ann.json", b"{}")
    bucket.upload("loras/word.json", b'{"tenants": ["acme"]}')
    assert names(loras, "other") == "ann film"
    bucket.store.delete("loras/word.json")
    assert names(loras, "other") == "ann film word"
    assert "loras/word.json" not in loras._read

"""The table of paths."""

import re

from handlers.kinds.registry import KINDS
from pipeline.api.paths import ENDPOINTS, GONE

OLD = (
    "flux-dev flux flux-instantid sdxl-instantid flux-ipadapter-faceid flux-lora flux-dev-lora"
    " flux-dev-realism flux-pulid wan2 seedvr2 z-image-simple z-image-danrisi z-image-lora"
    " z-image-instantid z-image-pulid workflow"
)

OLDER = (
    *("qwen-faceswap", "wan2-lora", "image-faceswap", "video-faceswap", "batch-video-faceswap"),
    *("z-image-nsfw", "z-image-realism", "z-image-pulid-lora", "sdxl-turbo", "sdxl-lightning"),
)


def test_no_path_is_there_twice() -> None:
    paths = [each.path for each in ENDPOINTS] + [each.path for each in GONE]

    assert len(set(paths)) == len(paths)


def test_each_kind_has_one_path_of_its_own_name() -> None:
    own = {each.kind: each.path for each in ENDPOINTS if not each.alias}

    assert own == {kind: f"/{kind}" for kind in own}
    assert set(KINDS) <= set(own)


def test_every_path_of_the_old_system_goes_on_or_is_gone_with_a_word() -> None:
    going_on = {each.path for each in ENDPOINTS if each.old}
    gone = {each.path for each in GONE}

    assert {f"/{name}" for name in OLD.split()} <= going_on | gone
    paths = [*going_on, *(re.sub(r"\{.*", "", path) for path in gone)]
    older = (*OLDER, "qwen-image-edit", "wan2.6-t2v", "wan22-i2v")
    assert not [name for name in older if not f"/{name}".startswith(tuple(paths))]
    assert all(each.instead for each in GONE)

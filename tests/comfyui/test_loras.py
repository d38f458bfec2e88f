"""A LoRA from the bucket to the pixels, through workers that start their ComfyUI themselves.

On a real one this shows that what the check lets through has an effect there: ComfyUI itself runs
a LoRA that fits nothing without complaint, and makes the picture as if there were none.
"""

import json
import os
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from config.models import load_models
from config.settings import Settings
from handlers.kinds.lora_fields import lora_base
from handlers.loras.fit import check
from handlers.loras.header import BytesRanges
from pipeline.contract.result import Status
from pipeline.local.seaweed import SeaweedServer
from tests.comfyui.conftest import worker_flags
from tests.comfyui.micro.table import MICRO_MODELS
from tests.support.safetensors_files import (
    KOHYA,
    PEFT,
    Spec,
    Specs,
    flux_diffusers,
    flux_native,
    lora,
    prefixed,
    randomised,
    underscored,
)
from tests.support.seaweed import fresh_bucket
from tests.support.stack import Stack, quick, running

pytestmark = pytest.mark.xdist_group("comfyui-loras")

COMFYUI_DIR = os.environ.get("RYLA_COMFYUI_DIR")
ROUTES = f"[routes.Flux]\ncomfyui_flags = {json.dumps(worker_flags())}\n"
HIDDEN = 128
NATIVE = flux_native(HIDDEN, [0], [0])
DIFFUSERS = flux_diffusers(HIDDEN, [0], [0])
FITTING: dict[str, Specs] = {
    "kohya": lora(underscored("lora_unet_", NATIVE), KOHYA, 4, alpha=4.0),
    "diffusers": lora(prefixed("transformer.", DIFFUSERS), PEFT, 2),
    "ai-toolkit": lora(prefixed("diffusion_model.", NATIVE), PEFT, 8),
    "onetrainer": lora(underscored("lora_transformer_", DIFFUSERS), KOHYA, 2, alpha=1.0),
    "lycoris": lora(underscored("lycoris_", DIFFUSERS), KOHYA, 2, alpha=2.0),
}
QKV = "lora_unet_double_blocks_0_img_attn_qkv"
FITTING |= {
    "dora": {
        **lora({QKV: (3 * HIDDEN, HIDDEN)}, KOHYA, 4),
        f"{QKV}.dora_scale": Spec((3 * HIDDEN, 1)),
    },
    "lokr": {f"{QKV}.lokr_w1": Spec((24, 8)), f"{QKV}.lokr_w2": Spec((16, 16))},
    "loha": {
        f"{QKV}.hada_{name}": Spec((3 * HIDDEN, 4) if name.endswith("a") else (4, HIDDEN))
        for name in ("w1_a", "w1_b", "w2_a", "w2_b")
    },
}
WRONG: dict[str, tuple[Specs, str]] = {
    "narrow": (lora(underscored("lora_unet_", flux_native(64, [0], [])), KOHYA, 4), "has shape"),
    "deep": (lora(underscored("lora_unet_", flux_native(HIDDEN, [7], [])), KOHYA, 4), "no such"),
}


@pytest.fixture
def alone() -> None:
    """Its ComfyUI is its own."""


@pytest.fixture(
    scope="module",
    params=[
        "standin",
        pytest.param(
            "comfyui",
            marks=[
                pytest.mark.comfyui,
                pytest.mark.skipif(
                    COMFYUI_DIR is None, reason="no real ComfyUI: set RYLA_COMFYUI_DIR"
                ),
            ],
        ),
    ],
)
def stack(
    request: pytest.FixtureRequest,
    seaweed: SeaweedServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("state")
    settings = quick(fresh_bucket(seaweed, folder), models_file=MICRO_MODELS)
    if request.param == "comfyui":
        settings = on_real(settings, folder)
    with running(settings) as stack:
        for name, specs in (FITTING | {name: specs for name, (specs, _) in WRONG.items()}).items():
            stack.store.write(f"loras/{name}.safetensors", randomised(specs), "application/binary")
        yield stack


def on_real(settings: Settings, folder: Path) -> Settings:
    routes = folder / "real.toml"
    routes.write_text(ROUTES)
    changes: dict[str, Any] = {
        "routes_file": routes,
        "comfyui_dir": COMFYUI_DIR,
        "comfyui_python": os.environ.get("RYLA_COMFYUI_PYTHON"),
        "job_timeout_seconds": 120,
    }
    return Settings.model_validate(settings.model_dump(exclude_unset=True) | changes)


def pixels(stack: Stack, id: str, model: str = "flux-lora", **fields: Any) -> bytes:
    stack.submit(id, model=model, input={"seed": 11, **fields})
    result = stack.result(id, seconds=90)
    assert result.status is Status.SUCCEEDED, result.error
    with Image.open(BytesIO(stack.read(result.outputs[0].key))) as image:
        return image.tobytes()


@pytest.mark.parametrize("name", FITTING)
def test_one_that_fits_changes_the_picture(stack: Stack, name: str) -> None:
    plain = pixels(stack, f"plain-{name}", "flux-dev")

    changed = pixels(stack, f"with-{name}", lora_name=name)

    assert changed != plain
    assert pixels(stack, f"again-{name}", lora_name=name) == changed


@pytest.mark.parametrize("name", WRONG)
def test_one_that_does_not_fit_is_refused(stack: Stack, name: str) -> None:
    stack.submit(f"wrong-{name}", model="flux-lora", input={"lora_name": name})

    result = stack.result(f"wrong-{name}")

    assert result.status is Status.REJECTED
    assert result.error is not None
    assert result.error.code == "lora_mismatch"
    assert WRONG[name][1] in result.error.message


@pytest.mark.parametrize("name", FITTING)
def test_the_micro_table_tells_the_sizes_that_a_lora_must_fit(name: str) -> None:
    base = lora_base(load_models(MICRO_MODELS).weights("flux-dev")["unet"])

    assert check(BytesRanges(randomised(FITTING[name])), base).adapters

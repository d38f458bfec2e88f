import hashlib
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

torch = pytest.importorskip("torch", reason="`make nodes` brings it")

from handlers.comfyui.node_pack.pixels import RylaSavePixels, eight_bit  # noqa: E402

pytestmark = pytest.mark.nodes


@pytest.fixture
def output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """ComfyUI's module of folders, as far as a node that saves asks it."""
    (tmp_path / "ryla").mkdir()
    paths = SimpleNamespace(
        get_output_directory=lambda: str(tmp_path),
        get_save_image_path=lambda prefix, folder, *_: (f"{folder}/ryla", "p", 3, "ryla", prefix),
    )
    monkeypatch.setitem(sys.modules, "folder_paths", paths)
    return tmp_path


def test_values_are_cut_off_as_comfyuis_own_saver_does() -> None:
    image = torch.tensor([0.0, 0.001, 0.5, 0.9999, 1.0, 1.7, -0.3, 0.25, 0.75]).reshape(1, 1, 3, 3)

    assert list(eight_bit(image)[0]) == [0, 0, 127, 254, 255, 255, 0, 63, 191]


def test_an_alpha_channel_is_left_out() -> None:
    assert len(eight_bit(torch.rand(1, 2, 5, 4))[0]) == 2 * 5 * 3


def test_each_picture_lies_bare_in_a_file_of_its_own(output: Path) -> None:
    images = torch.rand(2, 4, 6, 3)

    shown = RylaSavePixels().save(images, "ryla/p")["ui"]["images"]

    assert [each["filename"] for each in shown] == ["p_00003_.rgb", "p_00004_.rgb"]
    for each, pixels in zip(shown, eight_bit(images), strict=True):
        body = (output / each["subfolder"] / each["filename"]).read_bytes()
        assert body == bytes(pixels)
        assert each["pixels"] == {
            "width": 6,
            "height": 4,
            "sha256": hashlib.sha256(body).hexdigest(),
        }


def test_no_half_file_is_ever_seen(output: Path) -> None:
    RylaSavePixels().save(torch.rand(1, 4, 6, 3), "ryla/p")

    assert [path.name for path in (output / "ryla").iterdir()] == ["p_00003_.rgb"]

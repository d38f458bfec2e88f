import pytest

from pipeline.contract.public_text import public


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("cannot identify image file <_io.BytesIO object at 0x7f2a1c0b5e40>", "an object"),
        ("segfault at 0x7f2a1c0b5e40 in weed", "segfault at 0x… in weed"),
        ("no *.onnx in /root/models/insightface/models/antelopev2", "no *.onnx in antelopev2"),
        ("File '/opt/ComfyUI/nodes.py', line 12", "File 'nodes.py', line 12"),
        ("(/home/ann/a b/c.py:7)", "(a b/c.py:7)"),
    ],
)
def test_neither_addresses_nor_folders_are_told(text: str, told: str) -> None:
    assert told in public(text)
    assert "0x7" not in public(text)


@pytest.mark.parametrize(
    "text",
    [
        "GET /jobs/abc/outputs/0, or GET /models",
        "loras/flux-character-ann/job-7.safetensors",
        "https://example.com/tmp/a.png and s3://bucket/data/x",
        "6400 x 5000 pixels; 0x12",
        "and/or, 3/4",
    ],
)
def test_keys_urls_and_paths_of_the_api_stay(text: str) -> None:
    assert public(text) == text

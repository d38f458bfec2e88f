import base64
import hashlib
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from jinja2 import UndefinedError
from PIL import Image

from pipeline.pages.html import json_block, policy, render, thumbnail

PAGE = """{% extends "page.html.j2" %}
{% block title %}{{ name }}{% endblock %}
{% block main %}
{{ 12.5 | usd }} {{ 0.5 | percent }} {{ 2 | seconds }} {{ name | loud }}
{% endblock %}
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "paged").mkdir()
    (tmp_path / "paged/__init__.py").touch()
    (tmp_path / "paged/a.html.j2").write_text(PAGE)
    monkeypatch.syspath_prepend(tmp_path)
    return "paged"


def test_a_page_says_its_figures_in_the_look_that_all_pages_have(package: str) -> None:
    page = render(package, "a.html.j2", {"loud": str.upper}, name="<b>")

    assert "<title>&lt;b&gt;</title>" in page
    assert "$12.50 50.0 % 2.00 s &lt;B&gt;" in page
    assert "prefers-color-scheme: dark" in page
    assert "This page loads nothing from anywhere.</footer>" in page


def test_a_name_that_was_not_given_is_an_error(package: str) -> None:
    with pytest.raises(UndefinedError):
        render(package, "a.html.j2", {"loud": str.upper})


def test_a_thumbnail_is_a_small_jpeg_of_the_same_shape() -> None:
    body = io.BytesIO()
    Image.new("RGBA", (600, 300), "red").save(body, "PNG")

    head, _, data = thumbnail(body.getvalue(), 200).partition(",")

    assert head == "data:image/jpeg;base64"
    with Image.open(io.BytesIO(base64.b64decode(data))) as small:
        assert (small.format, small.size) == ("JPEG", (200, 100))


def test_importing_it_costs_neither_jinja_nor_pillow() -> None:
    code = "import sys, pipeline.pages.html; print({'jinja2', 'PIL'} & set(sys.modules))"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout == "set()\n"


def test_json_in_a_page_holds_no_character_of_html_and_is_the_same_document() -> None:
    document = {"</script>": ["<!--", "&amp;", "\u2028", "é"], "n": 1.5}
    text = str(json_block(document))
    assert text.isascii()
    assert not set("<>&") & set(text)
    assert json.loads(text) == document
    with pytest.raises(ValueError, match="JSON"):
        json_block(float("nan"))


def test_a_policy_names_the_digests_of_the_style_and_the_script() -> None:
    said = policy("body{}", "run()")
    for text, name in (("body{}", "style-src"), ("run()", "script-src")):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{name} 'sha256-{digest}'" in said

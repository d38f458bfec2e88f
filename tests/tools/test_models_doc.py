import tomllib

from config.models import load_models
from tools.models_doc import PATH, RUNS, render


def test_the_page_of_models_is_current() -> None:
    assert PATH.read_text("utf-8") == render(), "run: python -m tools.models_doc"


def test_every_weight_file_and_set_is_on_it() -> None:
    page, models = render(), load_models()

    for weight in models.weights_by_name.values():
        assert f"`{weight.folder}/{weight.file}`" in page
        assert weight.licence in page
    for name in models.sets:
        assert f"| `{name}` |" in page


def test_a_run_names_the_commit_it_was_made_on_and_what_it_left_out() -> None:
    page = render()

    for run in tomllib.loads(RUNS.read_text("utf-8"))["runs"]:
        assert len(run["commit"]) == 40
        assert run["commit"][:12] in page
        for each in (*run["covered"], *run["not_covered"]):
            assert each in page

from config import errors
from events.job_properties import error_type, request_properties


def test_what_was_asked_is_told_without_the_prompt() -> None:
    given = {
        "prompt": "a red fox",
        "width": 1024,
        "height": 768,
        "steps": 20,
        "cfg": 1,
        "guidance": 3.5,
        "step_cache": 0.08,
        "seed": 0,
        "num_images": 2,
        "output_format": "png",
        "nsfw": False,
    }
    told = request_properties("flux-dev", given)
    assert told.model_dump() == {
        "workflow_type": "flux-dev",
        "prompt_length": 9,
        "width": 1024,
        "height": 768,
        "steps": 20,
        "cfg": 1.0,
        "guidance": 3.5,
        "step_cache": 0.08,
        "has_seed": True,
        "num_images": 2,
        "output_format": "png",
        "nsfw": False,
    }
    assert "fox" not in told.model_dump_json()


def test_an_input_of_nonsense_is_told_as_unknown() -> None:
    nonsense = {
        "prompt": 7,
        "width": "1024",
        "height": 10**400,
        "steps": True,
        "cfg": float("inf"),
        "guidance": float("nan"),
        "step_cache": "0.08",
        "num_images": 1.5,
        "output_format": ["png"],
        "nsfw": "yes",
    }
    told = request_properties("flux-dev", nonsense).model_dump(
        exclude={"workflow_type", "has_seed"}
    )
    assert set(told.values()) == {None}


def all_codes(error: type[errors.RylaError] = errors.RylaError) -> set[str]:
    return {error.code}.union(*(all_codes(one) for one in error.__subclasses__()))


def test_each_error_code_is_of_one_of_the_three_planned_types() -> None:
    by_type: dict[str, set[str]] = {}
    for code in all_codes():
        by_type.setdefault(error_type(code), set()).add(code)
    assert by_type["timeout"] == {"comfyui_timeout", "deadline_exceeded"}
    assert by_type["workflow_error"] >= {"unknown_field", "graph_rejected", "over_budget"}
    assert by_type["model_error"] >= {"out_of_memory", "missing_model", "attempts_exhausted"}
    assert error_type(None) == "model_error"

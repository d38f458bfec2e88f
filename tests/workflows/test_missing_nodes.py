from workflows.interfaces import committed
from workflows.missing_nodes import why_missing


def test_an_older_server_a_missing_pack_and_a_wrong_graph_are_told_apart() -> None:
    ours = committed().comfyui_version

    old = why_missing("FluxGuidance", "0.2.0")
    pack = why_missing("ApplyInstantIDAdvanced", "0.8.0")
    wrong = why_missing("KSamplr", "0.8.0")

    assert old.startswith(f"ComfyUI {ours} has it and ComfyUI 0.2.0 has not")
    assert pack.startswith("It is of the node pack ComfyUI_InstantID, which ComfyUI 0.8.0 lacks")
    assert wrong.endswith("check the graph. Did you mean KSampler?")
    assert "Leave step_cache out" in why_missing("RylaStepCache", "0.33.0")
    assert "KSampl" not in why_missing("Zzzz", "0.8.0")

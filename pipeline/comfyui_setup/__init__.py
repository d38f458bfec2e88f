"""Setting ComfyUI up: pinned versions, installation, and whether an installed one has every node
that the graphs need."""

"""Setting ComfyUI up, and looking at what a ComfyUI has."""

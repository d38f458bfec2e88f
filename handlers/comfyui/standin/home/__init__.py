"""The folder that is started in ComfyUI's place."""

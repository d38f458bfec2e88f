"""What comfyui_ryla.py wires together: images, volumes, secrets and each function's body, in plain
Python that does not import Modal."""

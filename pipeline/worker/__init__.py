"""One job on a machine: started under its lease, rendered by ComfyUI, stored, committed. It decides
nothing about other jobs."""

"""What jobs are made of: the kinds of jobs, the client of ComfyUI, faces, LoRA files, media and
policy. Handlers are given what they need as ports; they know no bucket, no queue and no platform.
"""

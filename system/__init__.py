"""What of the operating system and of time the product uses: child processes, growing pauses, when
this process began. It knows nothing of jobs, stores or ComfyUI, and imports nothing of ours."""

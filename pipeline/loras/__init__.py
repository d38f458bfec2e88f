"""LoRA files in the bucket, and the workers' own store of them: found, checked, pulled once,
evicted. What a file's header means is decided in handlers/loras."""

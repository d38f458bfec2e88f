"""LoRA files in the bucket, and the workers' own store of them."""

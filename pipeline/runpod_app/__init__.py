"""What runs on RunPod: the worker behind its endpoints, the image, and what an account lacks."""

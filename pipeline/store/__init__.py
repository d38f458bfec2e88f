"""Object storage: the port, S3 and memory behind it, and conditional writes that survive lost
replies. It knows keys and bodies, not what they mean."""

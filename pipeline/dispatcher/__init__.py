"""The dispatcher: looks at the bucket, decides, acts. See tick.py."""

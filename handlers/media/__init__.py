"""Image files at the edges: checked, made harmless, converted, and marked as machine-made. Bytes
in, bytes out: nothing is read from or written to a disk or a bucket."""

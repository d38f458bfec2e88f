"""Weight files: where they come from, and whether they are there and the right ones."""

"""What keeps the repository: generated pages and types, mutants of the queue, figures of the
rooms."""

"""A batch as one HTML file, in which a person reviews its sheets."""

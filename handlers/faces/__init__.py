"""Faces: found, compared, measured. Scores are arithmetic on embeddings; insightface and its
runtime are imported by `insightface_finder.load` alone."""

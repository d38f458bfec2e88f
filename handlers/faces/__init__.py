"""Faces: found, compared, measured. Scores are arithmetic on embeddings; insightface and its
runtime are imported where models are loaded alone."""

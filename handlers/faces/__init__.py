"""Faces: found, compared, measured. Only `analysis.load` imports insightface and its runtime."""

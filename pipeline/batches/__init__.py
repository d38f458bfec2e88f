"""Batches: many character sheets that are sent, looked at and continued as one."""

"""The criteria of the requirements, each judged from what a run has seen. Pure."""

"""The pipeline over HTTP: one FastAPI app for `ryla serve`, `ryla up` and Modal."""

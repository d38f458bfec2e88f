"""The pipeline over HTTP: one FastAPI app for `ryla serve`, `ryla up` and Modal. It puts manifests
into the inbox and reads what comes of them; a handler never blocks the event loop, and no GPU is
touched."""

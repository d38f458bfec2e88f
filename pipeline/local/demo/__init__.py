"""`ryla demo`: example manifests through a whole local pipeline, checked at the end and shown on a
page."""

"""The queue from outside, for whoever sends jobs: submit, status, follow, cancel, download. It
asks the bucket, and never decides which job runs."""

"""The protocol of the bucket as a queue, pure: which job is claimed, when a lease is due, and each
step of a claim, a start and a cancel. `runner` alone calls the store."""

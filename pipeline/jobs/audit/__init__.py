"""Whether a bucket keeps what the queue promises: results = jobs, nothing orphaned, every output
there, every event once. It reads, and never writes."""

"""What was made in a span of time, what it cost, and how that stands against the requirements'
targets. It reads results, and writes nothing into the bucket."""

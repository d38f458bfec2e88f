"""What was made in a span of time, what it cost, and how that stands against the requirements."""

"""What stands in the bucket of a character sheet: its plan, the records of its steps, and how it
ends by them, whoever ends it."""

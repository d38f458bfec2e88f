"""What is owed after the end of a job: its events and its callback, delivered until they are
confirmed. It changes nothing about how the job ended."""

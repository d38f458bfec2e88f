"""Where workers run: child processes of this machine, or containers on Modal. An engine starts a
worker and cancels it at best; how a job fares, its lease tells."""

"""The queue and everything around it: rooms from the command line (cli/) down to the store
(store/). docs/architecture.md shows them in order; tests/test_architecture.py holds which may
import which."""

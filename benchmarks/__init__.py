"""What is measured, not tested: each benchmark prints its figures side by side, from one run."""

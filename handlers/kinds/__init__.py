"""The kinds of jobs, one module each, and what they share. A kind names its input, its route, its
graphs and what it needs; it says nothing of leases, stores or money."""

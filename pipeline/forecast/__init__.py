"""What jobs will take before they are sent: the dispatcher's own plan in virtual time, on measured
figures."""

"""`ryla accept`: drives a deployment through the criteria of the requirements and judges what came
of it, by results and events alone."""

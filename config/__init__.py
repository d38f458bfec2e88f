"""What an operator sets and what the product is told before it runs: settings (RYLA_* variables),
the tables of GPUs, routes and models, the error tree, logs. At the bottom of the house: it imports
no other room, and does nothing when it is imported."""

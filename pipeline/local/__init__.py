"""The whole pipeline on one machine: the embedded store, workers and dispatcher over one folder,
for `ryla up` and, in demo/, for `ryla demo`. Nothing of it runs in a deployment."""

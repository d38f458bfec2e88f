"""Has the bucket forget jobs: finds all that holds or derives from the face of a person, deletes
it, and leaves tombstones."""

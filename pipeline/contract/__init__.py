"""What stands in the bucket: keys, manifest, lease, result, errors, and their JSON Schemas. Others
write and read these bodies, so a change here is a change for them. No I/O."""

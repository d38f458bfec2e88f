"""What a job needs from elsewhere: images taken in with a manifest, and images and LoRAs fetched
for a worker. Whatever arrives here is hostile until it was checked."""

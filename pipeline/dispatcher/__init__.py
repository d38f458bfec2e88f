"""The dispatcher: looks at the bucket, decides, acts. `tick` is one look, `loop` many. It talks to
the bucket, an engine and the event sender, so no stranger's server can slow it."""

"""What is refused whatever could run it: words in prompts, nsfw, consent. Pure decisions over a
job's own fields."""

"""What a LoRA is trained on: the pictures of a character sheet that passed, with captions, as a zip
that trainers take as it is."""

"""What a LoRA file is and which base model it fits, told from its header alone. It reads ranges of
a file it is given, and loads no tensor."""

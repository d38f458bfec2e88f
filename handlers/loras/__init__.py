"""What a LoRA file is and which base model it fits, told from its header alone."""

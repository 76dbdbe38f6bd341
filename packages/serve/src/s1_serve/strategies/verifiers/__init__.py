"""Who judges candidates: exact answers, a language model, a reward model."""

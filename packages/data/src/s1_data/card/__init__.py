"""The dataset card of an s1k artifact: what a person reads before training on it."""

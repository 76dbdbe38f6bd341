"""The model artifact: weights out of a checkpoint, files in shards, parity of logits, texts."""

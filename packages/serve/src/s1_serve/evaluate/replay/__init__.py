"""`just replay`: what other ways to choose among stored samples would have given."""

"""Thinking whose steps are known to be right or wrong: what a process reward model learns from."""

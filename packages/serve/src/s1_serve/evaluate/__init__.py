"""Accuracy against thinking: what the loop serves, measured, graded and drawn."""

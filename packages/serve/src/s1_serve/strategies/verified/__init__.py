"""Strategies in which somebody judges the samples, or the samples judge themselves."""

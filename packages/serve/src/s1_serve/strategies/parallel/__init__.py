"""Strategies that draw samples side by side and choose among their answers."""

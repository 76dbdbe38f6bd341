"""Builds s1K: sources, filters, difficulty, diversity, selection."""

"""Answers of every run: policies, the engines they ask, and what is already known."""

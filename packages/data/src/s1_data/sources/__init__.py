"""Families of question sources, one small module each."""

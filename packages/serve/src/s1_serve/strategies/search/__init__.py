"""Searches over steps of thinking, which a verifier that scores steps leads."""

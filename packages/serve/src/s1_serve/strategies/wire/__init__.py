"""Calls of a strategy as requests of the chat API: bodies, who posts them, what comes back."""

"""The contract over HTTP: what may be asked of a budget, and what a response says of it."""

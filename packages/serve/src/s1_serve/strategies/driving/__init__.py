"""What runs the calls of a strategy, whatever generates."""

"""What sends a question away: one module a filter, one rule a row."""

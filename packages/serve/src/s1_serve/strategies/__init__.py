"""Test-time strategies: pure policies over samples, one runner, and who generates for it."""

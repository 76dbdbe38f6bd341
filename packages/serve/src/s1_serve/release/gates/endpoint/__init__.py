"""What the endpoint of staging has to show: its model, its dialects, its budgets, its drain."""

"""From graded samples to report.json, tables, figures and the page."""

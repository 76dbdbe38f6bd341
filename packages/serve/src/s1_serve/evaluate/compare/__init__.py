"""`just compare`: what changed between two reports, and what is noise."""

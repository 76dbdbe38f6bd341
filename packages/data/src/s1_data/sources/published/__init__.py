"""The mappings of published datasets, one small module a family."""

"""The page at /ui: what a visitor sets, and what comes of it."""

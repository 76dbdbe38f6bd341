"""Models behind OpenAI-compatible endpoints: asked with patience, paid once, within a budget."""

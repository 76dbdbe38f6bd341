"""What a release has to show before a stage takes it; each gate passes, fails or cannot tell."""

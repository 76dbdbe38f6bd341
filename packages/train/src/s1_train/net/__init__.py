"""The network: weights in, attention over packed rows, optimisers and their schedule."""

"""From a command to its processes, on any number of machines, and back to one exit code."""

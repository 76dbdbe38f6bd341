"""The stages of a build, one artifact each: questions, traces, s1k."""

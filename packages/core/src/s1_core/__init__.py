"""The shared contract of s1: text format, records, artifacts, answers, metrics."""

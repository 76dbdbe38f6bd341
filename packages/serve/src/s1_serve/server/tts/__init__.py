"""Strategies behind the service's HTTP: who may run, on what, and what is said of it."""

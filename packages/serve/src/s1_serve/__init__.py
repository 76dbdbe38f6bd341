"""Budget forcing on vLLM: engine, service, evaluation, release."""

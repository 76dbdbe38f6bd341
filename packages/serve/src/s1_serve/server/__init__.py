"""The HTTP service: the request contract, the engine behind it, access, telemetry, the page."""

"""`just release create` and `just release status`."""

from __future__ import annotations

import sys

from s1_core import cli
from s1_serve.release import create, status
from s1_serve.release.config import CreateConfig, StatusConfig

_USAGE = "usage: just release create|status [--help]"


def main() -> None:
    """Run the verb that the first word names."""
    words = sys.argv[1:]
    verb = words.pop(0) if words else ""
    if verb == "create":
        cli.run(CreateConfig, create.main, package="serve", argv=words)
    if verb == "status":
        cli.run(StatusConfig, status.main, package="serve", argv=words)
    if verb in ("-h", "--help"):
        sys.stdout.write(f"{_USAGE}\n")
        sys.exit(0)
    cli.say(f"s1: found {verb or 'no verb'!r}, wanted create or status; {_USAGE}")
    sys.exit(2)


if __name__ == "__main__":
    main()

"""API keys, from a file and from a variable. Refuses short ones, and none where others may ask."""

from __future__ import annotations

import ipaddress
import re
import socket
from pathlib import Path

from s1_core.errors import UserError

VARIABLE = "S1_API_KEYS"
_LEAST = 16


def read_keys(file: str | None, variable: str | None) -> tuple[str, ...]:
    """Read API keys, one a line of a file or parted by commas or lines in a variable.

    Raises:
        UserError: the file cannot be read or holds none; a key is short.
    """
    texts = [variable] if variable else []
    if file is not None:
        try:
            texts.append(Path(file).read_text())
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"{file} cannot be read ({error}): give one key a line") from error
    keys = tuple(key for text in texts for key in re.split(r"[\s,]+", text) if key)
    if file is not None and not keys:
        raise UserError(f"{file} holds no key: write one a line")
    if any(len(key) < _LEAST for key in keys):
        raise UserError(f"a key has fewer than {_LEAST} characters: make long random ones")
    return keys


def demand(keys: tuple[str, ...], host: str, *, is_open: bool) -> None:
    """Refuse to answer others without keys, unless that was asked for.

    Raises:
        UserError: there are none, and `host` is beyond loopback.
    """
    if keys or is_open:
        return
    try:
        found = {entry[4][0] for entry in socket.getaddrinfo(host or "0.0.0.0", None)}
    except OSError as error:
        raise UserError(f"{host!r} is no address ({error}): give another --host") from error
    if not all(ipaddress.ip_address(address).is_loopback for address in found):
        raise UserError(
            f"{host} is open to others and there are no API keys: give --api_keys_file or"
            f" {VARIABLE}, listen on 127.0.0.1, or say --open"
        )

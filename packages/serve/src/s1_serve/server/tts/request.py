"""vLLM's own reading of a chat request, for what the strategies use of it themselves.

Its types, coercions and refusals are those of a request without a strategy. A private module of
vLLM 0.32, which is pinned exactly. Refuses in one line, with the field as the client wrote it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError
from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest
from vllm.exceptions import VLLMClientError

from s1_serve.contract.fields import Refusal, named, shown

_LONGEST = 300


def engine_reads(body: Mapping[str, Any]) -> dict[str, Any]:
    """Give the fields that hold one value, and the stream's options, as vLLM reads them.

    Raises:
        Refusal: vLLM would refuse the request, too.
    """
    own = json.loads(json.dumps(body))  # validators of vLLM write into what they get
    try:
        read = vars(ChatCompletionRequest.model_validate(own))
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        field, value = _place(first["loc"], body)
        wanted = first["msg"][:1].lower() + first["msg"][1:]
        if first["type"] == "missing":
            wanted = f"give it the field {first['loc'][-1]}"
        raise _refusal(field, value, wanted) from error
    except VLLMClientError as error:
        field = getattr(error, "parameter", None) or ""
        raise _refusal(field, body.get(field), str(error.args[0])) from error
    except (AttributeError, IndexError, KeyError, TypeError) as error:
        # Validators of vLLM 0.32 take some values for objects before they are checked.
        raise _refusal("", None, f"the request cannot be read: {error}") from error
    plain = {k: read[k] for k in body if isinstance(read.get(k), bool | int | float | str)}
    options = read["stream_options"]
    return plain | ({} if options is None else {"stream_options": options.model_dump()})


def _place(steps: Sequence[int | str], body: Mapping[str, Any]) -> tuple[str, object]:
    """Follow an error into the body; between its steps stand branches of pydantic's."""
    path: list[str] = []
    value: Any = body
    for step in steps:
        is_key = isinstance(value, dict) and step in value
        if is_key or (isinstance(value, list) and step in range(len(value))):
            value = value[step]
            path.append(str(step))
    return ".".join(path), value


def _refusal(field: str, value: object, wanted: str) -> Refusal:
    said = f"{named(field)} is {shown(value)}: {wanted}" if field else wanted
    line = " ".join(said.split())
    return Refusal(line if len(line) <= _LONGEST else line[: _LONGEST - 3] + "...", field or None)

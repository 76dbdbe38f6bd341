"""The contract's fields in the OpenAPI schema of vLLM's application, so that /docs shows them."""

from __future__ import annotations

from typing import Any

from s1_serve.contract.fields import LARGEST, LONGEST_STRING, MOST_STRINGS

_REQUESTS = (
    "ChatCompletionRequest", "CompletionRequest", "ResponsesRequest", "AnthropicMessagesRequest",
)  # fmt: skip
_STRING = {"type": "string", "maxLength": LONGEST_STRING}
_FIELDS: dict[str, dict[str, Any]] = {
    "thinking_token_budget": {
        "type": "integer", "minimum": -1, "maximum": LARGEST,
        "description": "Most thinking tokens; -1 leaves what fits before the answer, 0 answers"
        " at once. Also thinking_budget, reasoning.max_tokens, thinking.budget_tokens,"
        " nvext.max_thinking_tokens; or an effort.",
    },
    "min_thinking_tokens": {
        "type": "integer", "minimum": 0, "maximum": LARGEST,
        "description": "Fewest thinking tokens: ends before it are extended.",
    },
    "num_extends": {
        "type": "integer", "minimum": 0, "maximum": LARGEST,
        "description": "How often an attempt to end thinking is turned into more thinking.",
    },
    "extend_with": {
        "anyOf": [
            _STRING, {"type": "array", "items": _STRING, "minItems": 1, "maxItems": MOST_STRINGS}
        ],
        "description": "What replaces an end; a list in turn, its last again and again.",
    },
}  # fmt: skip


def documented(schema: dict[str, Any]) -> dict[str, Any]:
    """Write the fields into the request models of a schema, in place."""
    models = schema.get("components", {}).get("schemas", {})
    for name in _REQUESTS:
        models[name]["properties"] |= _FIELDS
    return schema

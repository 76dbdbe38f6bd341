"""The contract's fields in the OpenAPI schema of vLLM's application, so that /docs shows them."""

from __future__ import annotations

from typing import Any

from s1_serve.contract.fields import LARGEST, LONGEST_STRING, MOST_STRINGS
from s1_serve.contract.tts import FIELD, LONGEST_REFERENCE, MOST_CONCURRENT
from s1_serve.strategies.catalogue import POLICIES

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
_CHAT = "ChatCompletionRequest"
_POSITIVE = {"type": "integer", "minimum": 1, "maximum": LARGEST}
_STRATEGY: dict[str, Any] = {
    "type": "object",
    "required": ["strategy"],
    "additionalProperties": True,
    "description": "A test-time strategy: many samples, one answer. Its own parameters stand"
    " beside these fields; /v1/models lists them with their defaults, under the models"
    " id:strategy, which may be asked instead.",
    "properties": {
        "strategy": {"type": "string", "enum": list(POLICIES)},
        "seed": {
            "type": "integer", "minimum": 0, "maximum": LARGEST,
            "description": "Of all draws; else the request's.",
        },
        "concurrency": {
            "type": "integer", "minimum": 1, "maximum": MOST_CONCURRENT,
            "description": "Most samples at the same time.",
        },
        "budget": {
            "type": "object",
            "additionalProperties": False,
            "description": "When it is spent the best so far answers.",
            "properties": {"total_tokens": _POSITIVE, "deadline_ms": _POSITIVE},
        },
        "verifier": {"type": "string", "description": "One of the server's; else its first."},
        "reference": {
            "type": "string", "maxLength": LONGEST_REFERENCE,
            "description": "The right answer: the verifier `exact` compares with it.",
        },
        "return_candidates": {"type": "boolean", "default": False},
    },
}  # fmt: skip


def documented(schema: dict[str, Any]) -> dict[str, Any]:
    """Write the fields into the request models of a schema, in place."""
    models = schema.get("components", {}).get("schemas", {})
    for name in _REQUESTS:
        models[name]["properties"] |= _FIELDS
    models[_CHAT]["properties"][FIELD] = _STRATEGY
    return schema

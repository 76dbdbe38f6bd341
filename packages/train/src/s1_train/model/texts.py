"""What lies beside the weights: tokenizer, chat template, generation config, model card.

Refuses a folder that transformers would tokenize otherwise than training did.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from s1_core import artifacts, chat, template
from s1_core.errors import S1Error
from s1_train import tokenizer
from s1_train.runs.folder import flat


def write(
    draft: artifacts.Draft, words: Path, manifest: Mapping[str, Any], facts: Mapping[str, Any]
) -> None:
    """Write the texts and check the tokenizer; `facts` are lines of the card alone."""
    text_format = chat.format_named(manifest["format"])
    tokenizer.copy(words, draft.path)
    draft.write_text("chat_template.jinja", template.chat_template(text_format))
    generation = {
        "do_sample": False,
        "eos_token_id": manifest["stop_token_ids"],
        "pad_token_id": manifest["pad_token_id"],
    }
    draft.write_text("generation_config.json", json.dumps(generation, indent=1) + "\n")
    draft.write_text("README.md", card(manifest, facts))
    _check_tokenizer(draft.path, text_format)


def _check_tokenizer(model: Path, text_format: chat.Format) -> None:
    from transformers import AutoTokenizer

    text = chat.generation_prompt(text_format, "How many r in raspberry? 12 + 3.5 = x\n\n  ok")
    ours = tokenizer.load(model, text_format).encode(text, add_special_tokens=False).ids
    theirs = AutoTokenizer.from_pretrained(model).encode(text, add_special_tokens=False)
    if list(ours) != list(theirs):
        raise S1Error(
            "transformers gives other token ids than the tokenizer used in training;"
            " a model of type qwen2 needs a byte-level BPE with Qwen2's word rule"
        )


def card(manifest: Mapping[str, Any], facts: Mapping[str, Any]) -> str:
    """Write the model card: origin, recipe, how to load and to serve, whose licence applies."""
    origin = {
        "base": manifest["base"],
        "base revision": manifest["base_revision"],
        "text format": manifest["format"],
        "length control": manifest["control"],
        "optimiser steps": manifest["step"],
        **facts,
    }
    from_scratch = manifest["base"] == "none"
    return _CARD.format(
        base="scratch" if from_scratch else manifest["base"],
        origin=_rows(origin),
        recipe=_rows(dict(sorted(flat(manifest["recipe"]).items()))),
        use=_SCORES if "label_ids" in manifest else _ANSWERS,
        licence=_NO_BASE if from_scratch else _BASE,
    )


def _rows(values: Mapping[str, Any]) -> str:
    return "\n".join(f"| {key} | {value} |" for key, value in values.items())


_CARD = """\
---
library_name: transformers
pipeline_tag: text-generation
---
# s1 model from {base}

Supervised fine-tuning on an s1k artifact. The weights are bf16; manifest.json names the parents by
hash. The chat template opens the thinking; an engine may force its length.

| origin | |
|---|---|
{origin}

{use}
## Recipe
| setting | |
|---|---|
{recipe}

## Licence
{licence}
"""
_ANSWERS = """\
## Use
```python
from transformers import AutoModelForCausalLM, AutoTokenizer

model = AutoModelForCausalLM.from_pretrained("path/to/this/folder")
tokenizer = AutoTokenizer.from_pretrained("path/to/this/folder")
```
An endpoint with budget forcing: `just serve --model path/to/this/folder`.
"""
_SCORES = """\
## Use
A process reward model: at the end mark behind each step it gives P(wrong) and P(right). It does not
answer. As an endpoint: `just reward --model path/to/this/folder`.
"""
_BASE = "The licence of the base model applies to these weights; nothing here grants more."
_NO_BASE = "There is no base model whose licence would apply; that of the data does."

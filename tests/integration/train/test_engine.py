"""A model with a BPE trained here, in vLLM: the ids of training, the tokens of transformers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from s1_core import chat
from s1_train import tokenizer

S1 = chat.FORMATS["s1"]
PROMPT = chat.generation_prompt(S1, "Let $x^2 = \\frac{1}{2}$, étude 12 + 3.5?\n\n  ok")
ENGINE = """
import json, sys
from vllm import LLM, SamplingParams
if __name__ == "__main__":
    engine = LLM(sys.argv[1], dtype="float32", enforce_eager=True, max_model_len=512)
    (reply,) = engine.generate([sys.argv[2]], SamplingParams(max_tokens=24, temperature=0))
    with open(sys.argv[3], "w") as stream:
        json.dump([list(reply.prompt_token_ids), list(reply.outputs[0].token_ids)], stream)
"""


@pytest.mark.engine
@pytest.mark.multiprocess
def test_the_engine_reads_and_writes_the_ids_of_training(model: Path, tmp_path: Path) -> None:
    script, result = tmp_path / "engine.py", tmp_path / "ids.json"
    script.write_text(ENGINE)
    environment = os.environ | {"OMP_NUM_THREADS": "1", "VLLM_CPU_KVCACHE_SPACE": "1"}
    ran = subprocess.run(
        [sys.executable, str(script), str(model), PROMPT, str(result)],
        capture_output=True,
        text=True,
        env=environment,
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    read, written = json.loads(result.read_text())
    ids = tokenizer.load(model, S1).encode(PROMPT, add_special_tokens=False).ids
    assert read == ids
    network = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    greedy = network.generate(torch.tensor([ids]), max_new_tokens=24, do_sample=False)
    assert written == greedy[0, len(ids) :].tolist()

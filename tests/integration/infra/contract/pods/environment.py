"""Variables: each is set before it is used, and somebody reads it."""

from __future__ import annotations

import functools
import importlib.util
import re
from pathlib import Path

from integration.infra.contract.objects import Object, Pod, each_container
from integration.infra.contract.pods import argv
from s1_core.errors import S1Error

READERS = {
    "S1_": ("s1_core", "s1_data", "s1_train", "s1_serve"),
    "VLLM_": ("vllm.envs",),
    "BENTOML_": ("bentoml", "bentoml_cli", "_bentoml_impl"),
    "HF_": ("huggingface_hub", "datasets.config"),
    "MLFLOW_": ("mlflow.environment_variables",),
}
"""whose sources name every variable of a prefix"""
ELSEWHERE = {
    "HOME", "TMPDIR", "USER", "PYTHONPATH", "PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE",
    "PYTHONWARNINGS", "OMP_NUM_THREADS", "DO_NOT_TRACK", "LD_LIBRARY_PATH", "XDG_CACHE_HOME",
    "TRANSFORMERS_OFFLINE", "TRITON_CACHE_DIR", "TORCHINDUCTOR_CACHE_DIR", "TORCH_CPP_LOG_LEVEL",
    "PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_ALLOC_CONF", "CUDA_CACHE_PATH", "GLOO_SOCKET_IFNAME",
    "NCCL_SOCKET_IFNAME", "NCCL_DEBUG", "NCCL_IB_HCA", "NCCL_IB_DISABLE", "NCCL_IB_GID_INDEX",
    "NCCL_NET_GDR_LEVEL", "MPLCONFIGDIR", "PROMETHEUS_MULTIPROC_DIR", "MALLOC_ARENA_MAX",
}  # fmt: skip
"""read by Python, CUDA, NCCL and libraries that list theirs nowhere"""


def variables_are_set_before_use(objects: list[Object]) -> list[str]:
    """Kubernetes leaves $(NAME) as it is where NAME is not set, or only further below."""
    findings = []
    for pod, container, where in each_container(objects):
        found: dict[str, str] = {}
        for entry in container.get("env") or []:
            missing = argv.unknown(str(entry.get("value", "")), found)
            findings += [f"{where}: {entry['name']} uses $({m}) before it is set" for m in missing]
            found[entry["name"]] = ""
        found = argv.variables(pod, container)
        for word in [*(container.get("command") or []), *(container.get("args") or [])]:
            missing = argv.unknown(str(word), found)
            findings += [f"{where}: {word} uses $({m}), which is not set" for m in missing]
    return findings


def variables_are_set_once(objects: list[Object]) -> list[str]:
    """The last of two variables of a name wins, silently."""
    findings = []
    for _, container, where in each_container(objects):
        names = [entry["name"] for entry in container.get("env") or []]
        findings += [f"{where}: sets {n} twice" for n in sorted(set(names)) if names.count(n) > 1]
    return findings


def variables_have_readers(objects: list[Object]) -> list[str]:
    """Each variable is one that the code reads, or is put into another or into the command."""
    findings = []
    for pod, container, where in each_container(objects):
        used = _used(container) | _named_in_config(pod, container)
        for entry in container.get("env") or []:
            name = entry["name"]
            if name not in used | ELSEWHERE and not _is_read(name):
                findings.append(f"{where}: nobody reads {name}")
    return findings


def _used(container: Object) -> set[str]:
    """Names put into the container's words or other variables."""
    texts = [*(container.get("command") or []), *(container.get("args") or [])]
    texts += [entry.get("value", "") for entry in container.get("env") or []]
    return {name for text in texts for name in argv.unknown(str(text), {})}


def _named_in_config(pod: Pod, container: Object) -> set[str]:
    """Names that the command itself says keys are read from."""
    try:
        config = argv.config_of(pod, container)
    except S1Error:  # `commands_parse` tells
        return set()
    parts = [getattr(config, part, None) for part in ("teacher", "judge")]
    return {part.api_key_env for part in parts if part is not None}


def _is_read(name: str) -> bool:
    prefix = next((prefix for prefix in READERS if name.startswith(prefix)), None)
    return prefix is not None and name in known(prefix)


@functools.cache
def known(prefix: str) -> frozenset[str]:
    """Collect the names with a prefix that occur as strings in the sources of their readers."""
    pattern = re.compile(rf"[\"']({prefix}[A-Z0-9_]+)[\"']")
    return frozenset(
        name
        for package in READERS[prefix]
        for path in _sources(package)
        for name in pattern.findall(path.read_text())
    )


def _sources(module: str) -> list[Path]:
    """List the files of a package, or of one module of it, without importing it."""
    package, _, inner = module.partition(".")
    spec = importlib.util.find_spec(package)
    folders = list(spec.submodule_search_locations or []) if spec else []
    if inner:
        return [Path(folder, *inner.split(".")).with_suffix(".py") for folder in folders]
    return [path for folder in folders for path in Path(folder).rglob("*.py")]

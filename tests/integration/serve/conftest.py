"""One engine for the whole session: starting vLLM costs ten seconds, a second engine memory."""

import pytest

from s1_serve.config import ServeConfig
from s1_serve.engine import Engine, quiet
from s1_serve.model import open_model

quiet()


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory):
    pytest.importorskip("vllm")
    from integration.serve import tiny

    return tiny.build(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="session")
def engine(model_folder):
    return Engine(open_model(str(model_folder)), ServeConfig(kv_cache_gib=0.004, max_num_seqs=64))

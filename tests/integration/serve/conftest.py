"""One engine for the whole session: starting vLLM costs ten seconds, a second engine memory."""

import socket

import pytest

from s1_core import artifacts
from s1_serve.config import ServeConfig
from s1_serve.engine import Engine
from s1_serve.model import open_model
from s1_serve.options import quiet
from unit.serve.fake_release import of_model

quiet()


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory):
    pytest.importorskip("vllm")
    from integration.serve import tiny

    return tiny.build(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="session")
def engine(model_folder):
    return Engine(open_model(str(model_folder)), ServeConfig(kv_cache_gib=0.004, max_num_seqs=64))


@pytest.fixture(scope="session")
def service(model_folder, tmp_path_factory):
    """A service without keys, shared by all tests that leave it as it was.

    Its model is that of `engine`, with a context in which a prompt with tools has room.
    """
    pytest.importorskip("vllm")
    from integration.serve import tiny
    from integration.serve.server import serving

    folder = tmp_path_factory.mktemp("service")
    model = tiny.build(folder / "model", max_position_embeddings=2048)
    release = of_model(artifacts.load(model).sha256).id  # what the staging gates ask it for
    flags = ("--max_answers", "128", "--name", "tiny", "--strategy_slots", "16")
    with serving(model, folder, *flags, S1_RELEASE=release) as server:
        yield server


@pytest.fixture
def unused_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]

"""BentoML's stores on disk, and the copies of models that go there or into a Bento.

What is written appears whole or not at all, which BentoML's own writes do not promise. Refuses a
model that changed while it was copied.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from s1_core import artifacts, cli, folder_swap
from s1_core.errors import UserError
from s1_serve.model import Model

MODEL_NAME = "s1-model"
DIGITS = 12  # of a hash, where it is a version


def home() -> Path:
    """Name the folder of the stores."""
    return Path(os.environ.get("BENTOML_HOME") or "~/bentoml").expanduser().resolve()


@contextmanager
def growing(target: Path) -> Iterator[Path]:
    """Yield a folder that becomes `target`, a version in a store, when it is whole.

    It grows outside of the store: BentoML lists whatever lies there, and stumbles over halves.
    """
    grown = home() / "tmp" / f"{target.parent.name}-{target.name}"
    with folder_swap.replacing(grown) as folder:
        yield folder
    shutil.rmtree(target, ignore_errors=True)  # what a killed write of BentoML's left
    target.parent.mkdir(parents=True, exist_ok=True)
    grown.rename(target)
    (target.parent / "latest").write_text(target.name)


def model_tag(model: Model) -> str:
    """Name a model in the store after its manifest."""
    return f"{MODEL_NAME}:{model.artifact.sha256[:DIGITS]}"


def put_model(model: Model) -> None:
    """Put a copy of the model into the store, unless it is there and intact."""
    tag = model_tag(model)
    target = home() / "models" / tag.replace(":", "/")
    if (target / "model.yaml").is_file() and is_copy(target, model):
        return
    with growing(target) as folder, tempfile.TemporaryDirectory(prefix="s1-bento-") as scratch:
        import bentoml
        from bentoml._internal.models import ModelStore

        labels = {"model": model.artifact.sha256}
        with bentoml.models.create(tag, labels=labels, _model_store=ModelStore(scratch)) as made:
            pass  # BentoML's own part of it is one file
        copy_file(Path(scratch) / made.tag.path() / "model.yaml", folder / "model.yaml")
        copy_model(model, folder)
        open_up(folder)


def copy_model(model: Model, folder: Path) -> None:
    """Copy the files that the manifest names.

    Raises:
        UserError: they are not those that were checked when the model was opened.
    """
    names = [artifacts.MANIFEST, *(entry["path"] for entry in model.artifact.files)]
    for name in cli.progress(names, "copying the model"):
        copy_file(model.artifact.path / name, folder / name)
    if not is_copy(folder, model):
        raise UserError(f"{model.artifact.path} was replaced while it was copied: run again")


def is_copy(folder: Path, model: Model) -> bool:
    """Say whether a folder holds this model, intact."""
    try:
        return artifacts.load(folder, kind="model").sha256 == model.artifact.sha256
    except UserError:
        return False


def copy_file(source: Path, target: Path) -> None:
    """Copy a file's content, making the folders it needs."""
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def open_up(folder: Path) -> None:
    """Let every user read it: nobody knows as whom a container will run."""
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)

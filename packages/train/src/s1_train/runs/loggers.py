"""Where metrics go besides metrics.csv: TensorBoard, MLflow, W&B, through Lightning's own loggers.

A resumed run goes on in the same run of each service, and no step is logged twice.
"""

from __future__ import annotations

import logging
import os
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from s1_core import cli
from s1_core.errors import S1Error
from s1_train.runs.folder import RunFolder, read_json, write_json

if TYPE_CHECKING:
    from lightning.pytorch.loggers import Logger

_PROJECT = "s1"


@dataclass
class Log:
    """A logger, and the step up to which its service already knows this run.

    A service that fails is told once and left alone: metrics.csv has everything.
    """

    name: str
    logger: Logger
    known_step: int = 0
    is_lost: bool = False

    def write(self, metrics: Mapping[str, float], step: int) -> None:
        """Log the metrics of a step that is new to the service."""
        if step > self.known_step:
            self._try(lambda: self.logger.log_metrics(dict(metrics), step))

    def close(self, status: str) -> None:
        """Say how the run ended."""
        self._try(lambda: self.logger.finalize(status))

    def _try(self, call: Callable[[], None]) -> None:
        if not self.is_lost:
            with _spared(self.name) as lost:
                call()
            self.is_lost = bool(lost)


def build(
    names: Sequence[str], folder: RunFolder, recipe: Mapping[str, Any], resumed_step: int
) -> list[Log]:
    """Open the loggers named; the run's recipe goes along as hyperparameters."""
    logs = []
    for name in names:
        with _spared(name):
            log = _log(name, folder, resumed_step)
            log.logger.log_hyperparams(dict(recipe))
            logs.append(log)
    return logs


@contextmanager
def _spared(name: str) -> Iterator[list[Exception]]:
    """Spare the run the failure of a service: say it, and leave it in the list.

    What our own code says of the run folder still flies.
    """
    lost: list[Exception] = []
    try:
        yield lost
    except S1Error:
        raise
    except Exception as error:  # noqa: BLE001 - clients raise types of their own, with no base
        lost.append(error)
        what = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        cli.say(f"warning: {name} failed, the run goes on without it: {what}")


def _log(name: str, folder: RunFolder, resumed_step: int) -> Log:
    if name == "tensorboard":
        return _tensorboard(folder, resumed_step)
    title = "/".join(folder.path.parts[-2:])
    return _mlflow(folder, title) if name == "mlflow" else _wandb(folder, title)


def _tensorboard(folder: RunFolder, resumed_step: int) -> Log:
    from lightning.pytorch.loggers import TensorBoardLogger

    board = TensorBoardLogger(
        folder.path,
        name="tensorboard",
        version="",
        default_hp_metric=False,
        purge_step=resumed_step + 1,
    )
    return Log("tensorboard", board)


def _mlflow(folder: RunFolder, title: str) -> Log:
    """Log to MLFLOW_TRACKING_URI, or else into a data base in the run folder."""
    import mlflow
    from lightning.pytorch.loggers import MLFlowLogger

    logging.getLogger(mlflow.__name__).setLevel(logging.WARNING)
    server = os.environ.get("MLFLOW_TRACKING_URI", "")
    ids = _Ids(folder, f"mlflow {server.rpartition('@')[2]}".strip())
    logger = MLFlowLogger(
        _PROJECT,
        run_name=title,
        tracking_uri=server or f"sqlite:///{folder.path / 'mlflow.db'}",
        artifact_location=None if server else str(folder.path / "mlflow"),
        run_id=ids.find(),
    )
    if ids.find() is None:
        ids.keep(str(logger.run_id))
        return Log("mlflow", logger)
    logger.experiment.update_run(logger.run_id, status="RUNNING")
    history = logger.experiment.get_metric_history(logger.run_id, "loss")
    return Log("mlflow", logger, max((metric.step for metric in history), default=0))


def _wandb(folder: RunFolder, title: str) -> Log:
    """Log to W&B; WANDB_MODE=offline keeps all of it in the run folder for `wandb sync`."""
    from lightning.pytorch.loggers import WandbLogger

    ids = _Ids(folder, "wandb")
    known = ids.find()
    name = known or secrets.token_hex(4)
    ids.keep(name)
    logger = WandbLogger(title, save_dir=folder.path, version=name, project=_PROJECT)
    step = logger.experiment.summary.get("trainer/global_step") if known else None
    return Log("wandb", logger, int(step or 0))


class _Ids:
    """What a service calls the run in this folder; another address of it is another service."""

    def __init__(self, folder: RunFolder, service: str) -> None:
        self._path, self._service = folder.path / "loggers.json", service

    def find(self) -> str | None:
        return self._all().get(self._service)

    def keep(self, name: str) -> None:
        write_json(self._path, self._all() | {self._service: name})

    def _all(self) -> dict[str, str]:
        return read_json(self._path) if self._path.is_file() else {}

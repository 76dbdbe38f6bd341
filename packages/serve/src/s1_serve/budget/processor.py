"""The machine as a logits processor of vLLM 0.32: one class for its V1 and V2 runners.

vLLM loads it by name, in the engine's process. Refuses penalties, several answers a request and
speculative decoding.
V1 is tested with real engines; V2 needs a GPU and is tested against its documented contract alone.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from vllm.exceptions import VLLMValidationError
from vllm.v1.sample.logits_processor.builtin import process_dict_updates
from vllm.v1.sample.logits_processor.interface import BatchUpdate
from vllm.v1.sample.logits_processor.interface import LogitsProcessor as V1Processor
from vllm.v1.worker.gpu.sample.logits_processor.interface import LogitsProcessor as V2Processor

from s1_core.errors import UserError
from s1_serve.budget.machine import Machine
from s1_serve.budget.request import KEY, open_rows, read

if TYPE_CHECKING:
    from vllm import SamplingParams
    from vllm.config import VllmConfig
    from vllm.v1.worker.gpu.sample.logits_processor.interface import (
        LogitsContext,
        LogitsProcRequestState,
    )

NAME = f"{__name__}:BudgetProcessor"
_NEUTRAL = {"presence_penalty": 0, "frequency_penalty": 0, "repetition_penalty": 1}
_NOBODY = -1


class BudgetProcessor(V1Processor, V2Processor):
    """Gives the machine its rows and positions, and publishes what it decided."""

    def __init__(
        self, vllm_config: VllmConfig, place: torch.device | LogitsProcRequestState, *_: Any
    ) -> None:
        if vllm_config.speculative_config is not None:
            raise UserError("speculative decoding cannot keep a budget yet: start without it")
        given: Any = vllm_config.additional_config
        settings = given[KEY]
        num_slots = settings["num_slots"]
        is_v1 = isinstance(place, torch.device)
        self._requests: Any = None if is_v1 else place
        device = place if isinstance(place, torch.device) else place.device
        self._machine = Machine(num_slots, settings["attempt_ids"], device)
        self._numbers = np.zeros(num_slots, dtype=np.int64)
        self._rows: NDArray[np.int64] = open_rows(Path(settings["path"]), num_slots)
        self._unpublished: tuple[NDArray[np.int64], Tensor, Any] | None = None
        self._of_row: dict[int, tuple[int, list[int]]] = {}
        """V1: row -> slot and the request's output so far, which vLLM appends to"""
        num_requests = 0 if is_v1 else place.max_num_reqs  # type: ignore[union-attr]
        self._of_request: NDArray[np.int64] = np.full(num_requests, _NOBODY)
        """V2: vLLM's slot -> ours"""

    @classmethod
    def validate_params(cls, sampling_params: SamplingParams) -> None:
        """Refuse what would not be what it says under a budget."""
        if read(sampling_params.extra_args) is None:
            return
        if found := refused(sampling_params):
            raise VLLMValidationError(found[1], parameter=found[0])
        if sampling_params.n != 1:
            what = f"n is {sampling_params.n}: a thinking budget belongs to one answer"
            raise VLLMValidationError(what, parameter="n")

    def is_argmax_invariant(self) -> bool:
        """Say that greedy requests need this too."""
        return False

    def update_state(self, batch_update: BatchUpdate | None) -> None:
        """V1: follow requests from row to row."""
        process_dict_updates(
            self._of_row,
            batch_update,
            lambda params, _, output: None if (slot := self._admit(params)) < 0 else (slot, output),
        )

    def add_request(self, req_idx: int, sampling_params: SamplingParams) -> bool:
        """V2: follow a request to vLLM's slot; one that was preempted comes again."""
        self._of_request[req_idx] = self._admit(sampling_params)
        return bool(self._of_request[req_idx] >= 0)

    def apply(self, logits: Tensor, ctx: LogitsContext | None = None) -> Tensor:
        """Edit the logits of a step."""
        slots, position_R = self._v1_rows(logits) if ctx is None else self._v2_rows(ctx)
        if (slots >= 0).any():
            self._publish()
            self._machine.apply(logits, slots, position_R)
            self._decided(slots)
        return logits

    def _admit(self, params: SamplingParams) -> int:
        found = read(params.extra_args)
        if found is None:
            return _NOBODY
        ticket, terms = found
        if self._numbers[ticket.slot] != ticket.number:
            self._numbers[ticket.slot] = ticket.number
            self._machine.admit(ticket.slot, terms)
        return ticket.slot

    def _v1_rows(self, logits: Tensor) -> tuple[NDArray[np.int64], Tensor]:
        slots = np.full(logits.shape[0], _NOBODY)
        positions = np.zeros(logits.shape[0], dtype=np.int64)
        for row, (slot, output) in self._of_row.items():
            # The length alone is read: under asynchronous scheduling it is right, the last
            # tokens are not yet.
            slots[row], positions[row] = slot, len(output)
        return slots, torch.from_numpy(positions).to(logits.device)

    def _v2_rows(self, ctx: LogitsContext) -> tuple[NDArray[np.int64], Tensor]:
        """Count output tokens; of a resumed request those before this prefill are all there."""
        at_R = ctx.expanded_idx_mapping.long()
        seen_R = torch.maximum(ctx.pos + 1, self._requests.prefill_len.gpu[at_R])
        position_R = (seen_R - self._requests.prompt_len.gpu[at_R]).long()
        return self._of_request[ctx.idx_mapping_np], position_R

    def _decided(self, slots: NDArray[np.int64]) -> None:
        """Copy what was decided to the host; on a GPU the copy runs beside the next step."""
        ours = slots[slots >= 0]
        decided_RN = self._machine.decided(ours)
        if decided_RN.device.type == "cpu":
            self._rows[ours, 0], self._rows[ours, 1:] = self._numbers[ours], decided_RN.numpy()
            return
        host_RN = torch.empty_like(decided_RN, device="cpu", pin_memory=True)
        host_RN.copy_(decided_RN, non_blocking=True)
        done = torch.cuda.Event()  # type: ignore[no-untyped-call]
        done.record()
        self._unpublished = (ours, host_RN, done)

    def _publish(self) -> None:
        """Publish what the step before decided: a request goes on for steps behind its end."""
        if self._unpublished is not None:
            ours, host_RN, done = self._unpublished
            done.synchronize()
            self._rows[ours, 0], self._rows[ours, 1:] = self._numbers[ours], host_RN.numpy()
            self._unpublished = None


def refused(params: SamplingParams) -> tuple[str, str] | None:
    """Give the parameter that cannot be what it says beside a budget, and why; None where all can.

    vLLM's V1 runner applies penalties behind its logits processors.
    """
    for name, neutral in _NEUTRAL.items():
        if (value := getattr(params, name)) != neutral:
            behind = "penalties would be applied behind a thinking budget"
            return name, f"{name} is {value}: {behind}; leave it at {neutral}"
    if params.repetition_detection is not None:
        name = "repetition_detection"
        return name, f"{name} would end thinking without an answer; leave it out"
    return None

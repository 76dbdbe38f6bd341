"""Budget forcing inside a batch: what each row may emit, as a function of its position.

State is positions, not counters: each step says how many tokens a request has so far, and what was
decided at or behind that position is undone first. So a step that is repeated, discarded, preempted
or reordered changes nothing (vLLM issue 29045). Token values are never read: what is forced is
known, and what would end thinking is masked or decided here. Torch only; no wait for the device.

Shape suffixes: S slots, R rows, V vocabulary, W words of a slot, E remembered extends.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from s1_serve.budget.draw import Filters, draw, uniform
from s1_serve.budget.terms import BUDGET, MEMORY, NATURAL, UNDECIDED, Column, Terms

_GREEDY_BELOW = 1e-5
"""temperatures that vLLM takes for 0 (sampling_params.py)"""
_FORCED = 1e9


@dataclass(frozen=True)
class State:
    """What has been decided for a request: rows of slots."""

    used_R: Tensor
    events_RE: Tensor
    end_R: Tensor
    kind_R: Tensor

    def undone_from(self, position_R: Tensor) -> State:
        """Forget what lies at or behind a position."""
        num_R1 = (self.events_RE >= position_R[:, None]).sum(1, keepdim=True)
        padded_RE = torch.cat([self.events_RE, torch.full_like(self.events_RE, -1)], 1)
        index_RE = num_R1 + torch.arange(MEMORY, device=num_R1.device)
        is_undone_R = self.end_R >= position_R
        return State(
            self.used_R - num_R1[:, 0],
            padded_RE.gather(1, index_RE),
            self.end_R.masked_fill(is_undone_R, -1),
            self.kind_R.masked_fill(is_undone_R, UNDECIDED),
        )


class Machine:
    """Holds the terms and the state of up to `num_slots` requests on one device.

    A request keeps its slot from `admit` to its end, whatever the engine does to its row.
    """

    def __init__(self, num_slots: int, attempt_ids: Sequence[int], device: torch.device) -> None:
        self._device, self._num_slots = device, num_slots
        self._is_on_cpu = device.type == "cpu"
        self._attempts = torch.tensor(list(attempt_ids), device=device)
        rows = num_slots + 1  # the last takes what rows without a budget would write
        self._terms_SW = torch.zeros(rows, 64, dtype=torch.long, device=device)
        self._sampling_S3 = torch.zeros(rows, 3, dtype=torch.double, device=device)
        self._used_S = torch.zeros(rows, dtype=torch.long, device=device)
        self._events_SE = torch.full((rows, MEMORY), -1, dtype=torch.long, device=device)
        self._end_S = torch.full((rows,), -1, dtype=torch.long, device=device)
        self._kind_S = torch.zeros(rows, dtype=torch.long, device=device)
        self._staged: dict[int, Terms] = {}
        # On the host: is the slot drawn at all, does it need a sort, does it have a min-p?
        self._is_sampled_S = np.zeros(rows, dtype=bool)
        self._is_sorted_S = np.zeros(rows, dtype=bool)
        self._has_min_p_S = np.zeros(rows, dtype=bool)

    def admit(self, slot: int, terms: Terms) -> None:
        """Begin a request in a slot."""
        self._staged[slot] = terms
        self._is_sampled_S[slot] = terms.temperature >= _GREEDY_BELOW
        self._is_sorted_S[slot] = terms.words[Column.TOP_K] > 0 or terms.top_p < 1
        self._has_min_p_S[slot] = terms.min_p > 0

    def apply(self, logits_RV: Tensor, slots: NDArray[np.int64], position_R: Tensor) -> None:
        """Edit the logits of one step in place.

        `slots` names each row's slot, -1 without a budget; `position_R` counts its output tokens.
        """
        self._flush()
        slots = np.where(slots < 0, self._num_slots, slots)
        slot_R = torch.from_numpy(slots).to(self._device)
        is_ours_R = slot_R < self._num_slots
        terms_RW, state = self._terms_SW[slot_R], self._state(slot_R).undone_from(position_R)
        drawing = self._drawing(logits_RV, slots, position_R)
        choice_R = logits_RV.argmax(-1)
        choice_R = drawing.over(choice_R, salt=0)
        step = _Step.of(terms_RW, state, position_R, torch.isin(choice_R, self._attempts))
        self._keep(slot_R, step.state)
        again_R = choice_R
        if not self._is_on_cpu or step.is_masked_R.any():
            again_R = drawing.over(choice_R, salt=1, without=self._attempts)
        is_drawn_R = torch.from_numpy(self._is_sampled_S[slots]).to(self._device)
        token_R = torch.where(step.is_masked_R, again_R, choice_R)
        token_R = torch.where(step.is_forced_R, step.token_R, token_R)
        _mask(logits_RV, self._attempts, is_ours_R & step.is_masked_R)
        _force(logits_RV, token_R, is_ours_R & (step.is_forced_R | is_drawn_R))

    def decided(self, slots: NDArray[np.int64]) -> Tensor:
        """Give extends used, kind of end and the last extends' positions, on the device."""
        at_R = torch.from_numpy(slots).to(self._device)
        counts_R2 = torch.stack([self._used_S[at_R], self._kind_S[at_R]], 1)
        return torch.cat([counts_R2, self._events_SE[at_R]], 1)

    def _drawing(self, logits_RV: Tensor, slots: NDArray[np.int64], position_R: Tensor) -> _Drawing:
        """Find the rows to draw for: vLLM takes them for greedy and finds what is forced."""
        rows = np.flatnonzero(self._is_sampled_S[slots])
        at = torch.from_numpy(rows).to(self._device)
        slot = torch.from_numpy(slots[rows]).to(self._device)
        temperature, top_p, min_p = self._sampling_S3[slot].unbind(1)
        filters = Filters(
            temperature, top_p, self._terms_SW[slot, Column.TOP_K], min_p,
            any_sorted=bool(self._is_sorted_S[slots[rows]].any()),
            any_min_p=bool(self._has_min_p_S[slots[rows]].any()),
        )  # fmt: skip
        seed = self._terms_SW[slot, Column.SEED]
        return _Drawing(at, logits_RV[at], filters, seed, position_R[at])

    def _state(self, slot_R: Tensor) -> State:
        return State(
            self._used_S[slot_R], self._events_SE[slot_R], self._end_S[slot_R], self._kind_S[slot_R]
        )

    def _keep(self, slot_R: Tensor, state: State) -> None:
        self._used_S[slot_R] = state.used_R
        self._events_SE[slot_R] = state.events_RE
        self._end_S[slot_R] = state.end_R
        self._kind_S[slot_R] = state.kind_R

    def _flush(self) -> None:
        """Bring the terms of new requests to the device in one copy, and clear their state."""
        if not self._staged:
            return
        rows = list(self._staged.values())
        width = max(len(terms.words) for terms in rows)
        if width > self._terms_SW.shape[1]:
            grown = self._terms_SW.new_zeros(len(self._terms_SW), 2 * width)
            grown[:, : self._terms_SW.shape[1]] = self._terms_SW
            self._terms_SW = grown
        words = torch.tensor([[*t.words, *[0] * (width - len(t.words))] for t in rows])
        numbers = torch.tensor(
            [[max(t.temperature, _GREEDY_BELOW), t.top_p, t.min_p] for t in rows],
            dtype=torch.double,
        )
        slot = torch.tensor(list(self._staged), device=self._device)
        self._terms_SW[slot, :width] = words.to(self._device)
        self._sampling_S3[slot] = numbers.to(self._device)
        self._used_S[slot], self._kind_S[slot] = 0, UNDECIDED
        self._events_SE[slot], self._end_S[slot] = -1, -1
        self._staged.clear()


@dataclass(frozen=True)
class _Drawing:
    """The rows to draw for, their logits, and how."""

    at: Tensor
    logits_RV: Tensor
    filters: Filters
    seed_R: Tensor
    position_R: Tensor

    def over(self, choice_R: Tensor, salt: int, without: Tensor | None = None) -> Tensor:
        """Draw into a copy of the choices, from all tokens or from all but some."""
        if not len(self.at):
            return choice_R
        logits_RV = self.logits_RV
        if without is not None:
            logits_RV = logits_RV.index_fill(1, without, -torch.inf)
        number_R = uniform(self.seed_R, self.position_R, salt)
        return choice_R.index_put((self.at,), draw(logits_RV, self.filters, number_R))


@dataclass(frozen=True)
class _Words:
    """The packed terms of each row, by name."""

    terms_RW: Tensor

    def term(self, column: Column) -> Tensor:
        return self.terms_RW[:, column]

    def word(self, offset_R: Tensor) -> Tensor:
        last = self.terms_RW.shape[1] - 1
        return self.terms_RW.gather(1, offset_R.clamp(0, last)[:, None])[:, 0]

    def string(self, number_R: Tensor) -> tuple[Tensor, Tensor]:
        """Find an extend string, (offset, length); the last one again and again."""
        number_R = torch.minimum(number_R, self.term(Column.NUM_STRINGS) - 1).clamp(min=0)
        entry_R = self.term(Column.LENGTHS) + 2 * number_R
        return self.word(entry_R), self.word(entry_R + 1)


@dataclass(frozen=True)
class _Place:
    """Where each row is by what was decided before; in a forced string, its next token's offset."""

    thinks_R: Tensor
    is_first_R: Tensor
    """no thought yet, or none since an extend string"""
    in_string_R: Tensor
    offset_R: Tensor
    num_thought_R: Tensor

    @staticmethod
    def of(words: _Words, state: State, position_R: Tensor) -> _Place:
        header_R, end_R, cut_R = map(words.term, (Column.HEADER, Column.END, Column.CUT))
        t_R = position_R - (end_R - header_R)
        in_header_R, has_ended_R = t_R < 0, state.end_R >= 0
        is_cut_R = state.kind_R == BUDGET
        ending_R = torch.where(is_cut_R, cut_R, end_R)
        behind_R = torch.where(is_cut_R, words.term(Column.LENGTHS), cut_R)
        since_end_R = position_R - state.end_R
        in_ending_R = has_ended_R & (since_end_R < behind_R - ending_R)
        extend_R, length_R = words.string(state.used_R - 1)
        since_R = position_R - state.events_RE[:, 0]
        has_extended_R = (state.used_R > 0) & ~has_ended_R
        in_extend_R = has_extended_R & (since_R < length_R)
        offset_R = torch.where(in_ending_R, ending_R + since_end_R, header_R + position_R)
        return _Place(
            thinks_R=~(in_header_R | has_ended_R | in_extend_R),
            is_first_R=(t_R == 0) | (has_extended_R & (since_R == length_R)),
            in_string_R=in_header_R | in_ending_R | in_extend_R,
            offset_R=torch.where(in_extend_R, extend_R + since_R, offset_R),
            num_thought_R=t_R,
        )


@dataclass(frozen=True)
class _Step:
    """The rules at one position of each row, and the state behind it."""

    state: State
    token_R: Tensor
    """what is forced where `is_forced_R`"""
    is_forced_R: Tensor
    is_masked_R: Tensor
    """attempts may not be emitted"""

    @staticmethod
    def of(terms_RW: Tensor, state: State, position_R: Tensor, attempts_R: Tensor) -> _Step:
        """Apply the rules in their order; `attempts_R` says who would end by itself."""
        words = _Words(terms_RW)
        place, term = _Place.of(words, state, position_R), words.term
        t_R, maximum_R = place.num_thought_R, term(Column.MAXIMUM)
        cuts_R = place.thinks_R & (t_R >= maximum_R)  # rule 1
        thinks_R = place.thinks_R & ~cuts_R
        is_first_R = thinks_R & place.is_first_R  # rule 2
        attempts_R = attempts_R & thinks_R & ~is_first_R  # rule 3
        next_R, length_R = words.string(state.used_R)
        is_short_R = t_R < term(Column.MINIMUM)
        wants_more_R = (state.used_R < term(Column.EXTENDS)) | is_short_R
        extends_R = attempts_R & wants_more_R & (t_R + length_R + 1 <= maximum_R)
        is_held_R = attempts_R & ~extends_R & is_short_R
        ends_R = attempts_R & ~extends_R & ~is_held_R
        says_R = extends_R & (length_R > 0)
        offset_R = torch.where(cuts_R, term(Column.CUT), place.offset_R)
        offset_R = torch.where(ends_R, term(Column.END), offset_R)
        offset_R = torch.where(says_R, next_R, offset_R)
        is_forced_R = place.in_string_R | cuts_R | ends_R | says_R
        pushed_RE = torch.cat([position_R[:, None], state.events_RE[:, :-1]], 1)
        return _Step(
            state=State(
                state.used_R + extends_R,
                torch.where(extends_R[:, None], pushed_RE, state.events_RE),
                torch.where(cuts_R | ends_R, position_R, state.end_R),
                state.kind_R + BUDGET * cuts_R + NATURAL * ends_R,
            ),
            token_R=words.word(offset_R),
            is_forced_R=is_forced_R,
            is_masked_R=is_first_R | is_held_R | (extends_R & ~says_R),
        )


def _mask(logits_RV: Tensor, attempts: Tensor, rows_R: Tensor) -> None:
    logits_RV[:, attempts] = logits_RV[:, attempts].masked_fill(rows_R[:, None], -torch.inf)


def _force(logits_RV: Tensor, token_R: Tensor, rows_R: Tensor) -> None:
    own_R1 = logits_RV.gather(1, token_R[:, None])
    logits_RV.scatter_(1, token_R[:, None], own_R1.masked_fill(rows_R[:, None], _FORCED))

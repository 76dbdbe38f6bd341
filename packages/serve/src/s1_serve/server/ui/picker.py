"""The page's choice of a strategy: which one, its parameters, how many tokens all of it may cost.

Lists what this server can run. Checks nothing but the form of what is typed: the service refuses.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import gradio as gr

from s1_core.errors import UserError
from s1_serve.contract.fields import shown
from s1_serve.strategies import catalogue

_PLAIN = "Plain answer"
_PLAIN_INFO = "One sample"
_MOST_SAMPLES = 64
"""on the slider; more are typed as n=…"""
_WARM = 0.7
"""At temperature 0 all samples are the same, so a strategy does not start there"""


def runnable(available: catalogue.Available) -> list[str]:
    """List the strategies that run here with their defaults."""
    return [name for name in catalogue.POLICIES if _runs(name, available)]


def _runs(name: str, available: catalogue.Available) -> bool:
    try:
        catalogue.build(name, {}, available)
    except UserError:
        return False
    return True


class Picker:
    """The components of the choice."""

    def __init__(self, available: catalogue.Available, temperature: gr.Slider) -> None:
        self._verifiers, self._temperature = list(available.verifiers), temperature
        names = runnable(available)
        self.strategy = gr.Dropdown(
            [_PLAIN, *names],
            value=_PLAIN,
            label="Strategy",
            info=_PLAIN_INFO,
            filterable=False,  # on a phone the keyboard would cover the list
            visible=bool(names),
            elem_id="strategy",
        )
        # Whose fields these are: those of a new choice take a moment to come. A State comes sooner.
        self._shown = gr.Textbox(_PLAIN, visible=False)
        self.samples = gr.Slider(
            *(1, _MOST_SAMPLES, 1),
            step=1,
            precision=0,
            label="Samples",
            buttons=[],
            visible=False,
            elem_id="samples",
        )
        self.parameters = gr.Textbox(
            label="Parameters", placeholder="key=value, …", visible=False, elem_id="parameters"
        )
        self.total = gr.Textbox(
            label="Most tokens of all samples",
            placeholder="no limit",
            visible=False,
            elem_id="total-tokens",
        )

    @property
    def inputs(self) -> set[gr.components.Component]:
        """The components whose values `body` wants."""
        return {self.strategy, self._shown, self.samples, self.parameters, self.total}

    def wire(self, **options: Any) -> None:
        """Let the fields follow the choice."""
        fields = [self.samples, self.parameters, self.total]
        self.strategy.change(
            self._chosen,
            [self.strategy, self._temperature],
            [self.strategy, self._shown, *fields, self._temperature],
            **options,
        )

    def _chosen(self, name: str, temperature: float) -> tuple[Any, ...]:
        if name == _PLAIN:
            hidden = (gr.Slider(visible=False), *(gr.Textbox(visible=False) for _ in range(2)))
            return gr.Dropdown(info=_PLAIN_INFO), name, *hidden, temperature
        known = catalogue.parameters(name)
        samples = known.pop("n", None)
        if self._verifiers and _is_judged(name):
            known["verifier"] = self._verifiers[0]
        shown = ", ".join(f"{key}={_written(value)}" for key, value in known.items())
        return (
            gr.Dropdown(info=described(name)),
            name,
            gr.Slider(value=samples or 1, visible=samples is not None),
            gr.Textbox(value="", info=shown, visible=bool(shown)),
            gr.Textbox(visible=True),
            temperature or _WARM,
        )

    def body(self, values: dict[Any, Any]) -> dict[str, Any]:
        """Give what a request says of its strategy; nothing for a plain answer.

        Raises:
            UserError: the parameters are not of the form key=value.
        """
        name = values[self.strategy]
        if name == _PLAIN:
            return {}
        asked = {"strategy": name, "return_candidates": True}
        if values[self._shown] == name:
            return {"tts": asked | self._typed(name, values)}
        return {"tts": asked, "temperature": values[self._temperature] or _WARM}

    def _typed(self, name: str, values: dict[Any, Any]) -> dict[str, Any]:
        text = (values[self.parameters] or "").strip().strip(",")
        _, found = catalogue.parse(f"{name}:{text}" if text else name)
        if "n" in catalogue.parameters(name):
            found = {"n": values[self.samples]} | found
        total = (values[self.total] or "").strip()
        return found | ({"budget": {"total_tokens": _number(total)}} if total else {})


def described(name: str) -> str:
    """Give the first line of a strategy's docstring."""
    first, *_ = (catalogue.POLICIES[name].__doc__ or "").strip().splitlines() or [""]
    return first.rstrip(".")


def _is_judged(name: str) -> bool:
    fields = dataclasses.fields(catalogue.POLICIES[name])  # type: ignore[arg-type]
    return any(field.name == "verifier" for field in fields)


def _written(default: Any) -> str:
    """Write a default as `catalogue.parse` reads it; one that says nothing is left open."""
    if isinstance(default, tuple | list):
        return "/".join(map(_written, default)) or "…"
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, int | float):
        return f"{default:g}"
    return default if isinstance(default, str) and default else "…"


def _number(text: str) -> int:
    found = f"“Most tokens of all samples” is {shown(text)}"
    digits = text.replace(",", "").replace(" ", "")
    try:
        if digits.isdecimal():
            return int(digits)
    except ValueError as error:  # Python reads no number of more than 4,300 digits
        raise UserError(f"{found}: give a smaller number or nothing") from error
    raise UserError(f"{found}: give a whole number or nothing")

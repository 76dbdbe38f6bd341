"""An engine made of chance: what each call comes to, and in which order calls end."""

from __future__ import annotations

from random import Random

from s1_serve.strategies.calls import Chat, Reward, Step
from s1_serve.strategies.known import Aborted, Failed, Finished, Heard, Known, Result, Started
from s1_serve.strategies.policy import Policy
from s1_serve.strategies.session import Cancel, Effect, Launch, Limits, Session

VERDICTS = ("Yes", "No", "1", "2", "7", "10", "Score: 3", "NaN", "", "who knows", "-1", "0.5")
SCORES = (0.0, 0.25, 0.5, 0.75, 1.0, float("nan"), 7.0)


def result(launch: Launch, seed: int, fails: float = 0.1) -> Result:
    """Say what a call comes to: the same for the same seed, whatever came before.

    Raises:
        LookupError: it fails.
    """
    rng = Random(f"{seed}/{launch.call.id}")
    if rng.random() < fails:
        raise LookupError("the engine broke")
    call = launch.call
    if isinstance(call, Reward):
        return Result(scores=tuple(rng.choice(SCORES) for _ in range(rng.randint(0, 4))))
    most = min(launch.max_tokens or 200, 200)
    tokens = rng.randint(1, most)
    thinking = rng.randint(0, tokens)
    if isinstance(call, Chat) and call.is_verifier:
        return Result(answer=rng.choice(VERDICTS), tokens=tokens, thinking_tokens=thinking)
    answer = rng.choice(["12", "13", "14", ""])
    is_open = isinstance(call, Step) and not call.ends_thinking and rng.random() < 0.7
    return Result(
        thinking="so 1:x=1\n",
        answer="" if is_open else answer,
        token_ids=tuple(range(thinking)),
        tokens=tokens,
        thinking_tokens=thinking,
        end="open" if is_open else rng.choice(["natural", "budget", "length"]),
        finish_reason=rng.choice(["stop", "length"]),
        vote=None if is_open else (answer or None),
        mean_logprob=rng.choice([None, -0.1, -2.0]),
    )


class World:
    """Runs a session; which of the running calls ends next is drawn from `order`."""

    def __init__(self, policy: Policy, limits: Limits, seed: int, order: Random) -> None:
        known = Known(question="How many r in raspberry?", seed=seed)
        self.session, self.seed, self.order = Session(policy, limits, known), seed, order
        self.running: dict[str, Launch] = {}
        self.most_running = 0
        self.heard: list[object] = []

    def run(self, most: int = 20_000) -> None:
        """Go on until there is an outcome."""
        self._apply(self.session.begin())
        for _ in range(most):
            if self.session.outcome is not None:
                assert not self.running, "calls outlive the outcome"
                return
            assert self.running, "it waits for nothing"
            self._end(self.order.choice(sorted(self.running)))
        raise AssertionError("it does not end")

    def _end(self, name: str) -> None:
        launch = self.running[name]
        try:
            found = result(launch, self.seed)
        except LookupError as error:
            del self.running[name]
            self._hear(Failed(name, str(error)))
            return
        if found.tokens:
            half = found.tokens // 2
            self._hear(
                Heard(
                    id=name,
                    tokens=half,
                    thinking_tokens=min(half, found.thinking_tokens),
                    has_thought=half > found.thinking_tokens,
                    confidences=tuple(self.order.uniform(0, 9) for _ in range(half)),
                )
            )
        if self.running.pop(name, None) is not None:
            self._hear(Finished(name, found))

    def _hear(self, event: Started | Heard | Finished | Failed | Aborted) -> None:
        self.heard.append(event)
        self._apply(self.session.hear(event))

    def _apply(self, effects: list[Effect]) -> None:
        begun, stopped = [], []
        for effect in effects:
            if isinstance(effect, Cancel):
                stopped.append(self.running.pop(effect.id))
            else:
                self.running[effect.call.id] = effect
                begun.append(effect.call.id)
        self.most_running = max(self.most_running, len(self.running))
        for launch in stopped:
            self._hear(self._late(launch))
        for name in begun:
            self._hear(Started(name))

    def _late(self, launch: Launch) -> Aborted:
        """Say what a stopped call has cost in truth: more was under way than was heard of."""
        heard = self.session.known[launch.call.id].tokens
        most = max(heard, 200 if launch.max_tokens is None else launch.max_tokens)
        is_reward = isinstance(launch.call, Reward)
        return Aborted(launch.call.id, heard if is_reward else self.order.randint(heard, most))

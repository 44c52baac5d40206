"""Say why a step runs again: which of its inputs differ from those it last ran with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from glovebox.errors import ConfigError
from glovebox.plan import details
from glovebox.plan.inputs import digests
from glovebox.plan.plan import StepKind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from glovebox.plan.details import Details
    from glovebox.plan.plan import Plan, Step
    from glovebox.store.store import Layer, Store

# So many packages or files are named for one input.
_NAMED = 12


def explain(
    plan: Plan, store: Store, name: str, *, detail: Callable[[Step], Details] = lambda _: {}
) -> list[str]:
    """Give the reasons, a line each; raises ConfigError when there is no such step.

    ``detail`` tells of a step what its inputs are made of now.
    """
    step = plan.steps.get(name)
    if step is None:
        raise ConfigError(f"there is no step {name}", hint=f"one of: {', '.join(plan.steps)}")
    if step.volatile:
        return [f"{name} runs in every build: its stage is volatile"]
    if store.find(step.key) is not None:
        return [f"{name} does not run: its result is in the store", *_untracked(step)]
    if step.kind is StepKind.IMAGE and step.below:
        below = plan.steps[step.below]
        if store.find(below.key) is None:
            return [
                f"{below.name} beneath it runs again:",
                *_indented(explain(plan, store, below.name, detail=detail)),
            ]
        return ["an image is assembled whenever the one in out/ has another key"]
    last = _last(plan, store, step)
    reasons = [f"{name} has not run yet for {plan.arch}"]
    if last is not None:
        reasons = _reasons(plan, store, step, last, detail)
    return [*reasons, *_untracked(step)]


def _reasons(
    plan: Plan, store: Store, step: Step, last: Layer, detail: Callable[[Step], Details]
) -> list[str]:
    reasons = list(differences(digests(step.inputs), last.meta.get("inputs", {})))
    now, then = detail(step), last.meta.get("details", {})
    reasons = [
        f"{name} changed: {', '.join(details.differences(now[name], then[name])[:_NAMED])}"
        if reason == f"{name} changed" and name in now and name in then
        else reason
        for reason in reasons
        for name in [reason.removesuffix(" changed")]
    ]
    before: Mapping[str, str] = last.meta.get("before", {})
    for other in (*((step.below,) if step.below else ()), *step.uses):
        if before.get(other) == plan.steps[other].key:
            continue
        if other not in before:
            reasons.append(f"it now comes after {other}")
        elif store.find(plan.steps[other].key) is None:
            reasons += [
                f"{other} runs again:",
                *_indented(explain(plan, store, other, detail=detail)),
            ]
        else:
            reasons.append(f"{other} has another result than then")
    return reasons or [f"the builder makes a {step.kind} in another way now"]


def _untracked(step: Step) -> list[str]:
    """Say what could change without this step running again."""
    if not step.untracked:
        return []
    return [
        *(f"not tracked: {one}" for one in step.untracked),
        "  a change there does not run it again; volatile: true for its stage runs it every time",
    ]


def differences(now: Mapping[str, str], then: Mapping[str, str]) -> Iterator[str]:
    """Name each input that is new, gone or changed."""
    for name in sorted(set(now) | set(then)):
        if name not in then:
            yield f"{name} is new"
        elif name not in now:
            yield f"{name} is gone"
        elif now[name] != then[name]:
            yield f"{name} changed"


def _last(plan: Plan, store: Store, step: Step) -> Layer | None:
    same = [
        layer
        for layer in store.layers()
        if layer.meta.get("name") == step.name and layer.meta.get("arch") == plan.arch
    ]
    return max(same, key=lambda layer: int(layer.meta["made"]), default=None)


def _indented(lines: list[str]) -> list[str]:
    return [f"  {line}" for line in lines]

"""What a fault of the initialisation costs in training, a line each. PYTEST_DONT_REWRITE"""

from __future__ import annotations

from collections.abc import Mapping

_COSTS: Mapping[tuple[str, str | None], str] = {
    ("finite", None): "one step of any optimiser turns every parameter into NaN",
    ("inputs", None): (
        "gradients of the first layer grow with the input's scale, so a rate that suits it suits no "
        "other layer; Adam hides it"
    ),
    ("variance", "vanishing"): (
        "SGD hardly tells inputs apart for the first steps, or ever; Adam hides it, at the price of a "
        "narrow range of learning rates"
    ),
    ("variance", "exploding"): (
        "the first loss is far above chance and the first steps are as large: SGD diverges, or undoes "
        "the initialisation for a while; Adam hides it"
    ),
    (
        "saturation",
        None,
    ): "saturated units pass hardly any gradient: they learn late, or never",
    (
        "dead-relu",
        None,
    ): "a unit that is never active gets no gradient, so it stays dead",
    ("gradient", "exploding"): (
        "neighbouring inputs get unrelated outputs and gradients: what is learned of one helps no other"
    ),
    ("gradient", "vanishing"): "the first layers hardly move under SGD; Adam hides it",
    (
        "trainable",
        None,
    ): "the tensor never changes, and the optimiser keeps state for it all the same",
    (
        "symmetry",
        None,
    ): "equal units learn the same: the layer is as narrow as if it had one of them",
    (
        "matched-init",
        None,
    ): "the layer changes the signal's size, and the learning rate that suits it",
    ("reproducible", None): "runs that differ by the seed alone train differently",
}


def costs_of(invariant: str, direction: str | None) -> str:
    """Return what a violation costs; sources are in docs/principles.md.

    >>> costs_of("finite", None)
    'one step of any optimiser turns every parameter into NaN'
    """
    return _COSTS.get((invariant, direction)) or _COSTS.get((invariant, None), "")

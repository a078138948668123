"""A family: Hypothesis draws depth and width, and shrinks a failure to the smallest network that has it.

Try it: with ``np.sqrt(1 / width)`` for the weights the check names the smallest depth that is too deep.
"""

import hypothesis.strategies as st
import numpy as np

import pytest_initcheck as ic


# The inputs follow what was drawn. `preserves_variance` asks for more than the default does: the second
# moment of every layer within a factor of 10 of what a matched init shows at that depth and width.
@ic.model(inputs=ic.inputs_from(lambda width: ic.normal(width)))
@ic.family(depth=st.integers(1, 12), width=st.sampled_from([16, 32, 64]))
@ic.preserves_variance(limit=10)
@ic.bounded_dead_relu(0.4)
def mlp(rng, depth, width):
    def layer():
        return (rng.normal(0, np.sqrt(2 / width), (width, width)), np.zeros(width), "relu")

    return [
        *(layer() for _ in range(depth)),
        (rng.normal(0, np.sqrt(1 / width), (width, 10)), None, None),
    ]

"""What a model does on purpose, and a reader may want to know. PYTEST_DONT_REWRITE"""

from __future__ import annotations

from pytest_initcheck.runs import is_bounded, layer_before
from pytest_initcheck.trace import Trace

_MOST_OF_IT = 0.5


def notes_on(trace: Trace) -> tuple[str, ...]:
    """Return a note where a bounded output starts saturated by the bias of its layer.

    A class prior does that on purpose (Lin et al. 2017, section 4.1); as a mistake it looks the same.
    """
    if trace.output < 0:
        return ()
    output = trace.sites[trace.output]
    head = layer_before(trace, output)
    if not is_bounded(output) or output.saturated is None or head.bias is None:
        return ()
    by_bias = head.bias.mean**2 > head.value.batch_variance
    if output.saturated < _MOST_OF_IT or not by_bias:
        return ()
    return (
        f"the output {output.name} starts {100 * output.saturated:.0f} % saturated by the bias of "
        f"{head.name} ({head.bias.mean:.3g} on average): right for a class prior, else set it to 0",
    )

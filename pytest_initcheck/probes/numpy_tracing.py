"""A forward function run on traced arrays: what it does becomes a graph. PYTEST_DONT_REWRITE"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pytest_initcheck.errors import ConfigError, ModelError
from pytest_initcheck.inputs import Call
from pytest_initcheck.probes.graph.flow import Leaf
from pytest_initcheck.probes.graph.nodes import Graph, Node
from pytest_initcheck.probes.numpy_flow import NumpyFlow, Returned
from pytest_initcheck.probes.numpy_holdings import Holdings
from pytest_initcheck.probes.numpy_lowering import tape as new_tape
from pytest_initcheck.probes.numpy_namespace import stand_ins
from pytest_initcheck.probes.numpy_places import NOWHERE, Place
from pytest_initcheck.probes.numpy_recording import is_traced, plain, wrapped
from pytest_initcheck.probes.numpy_replacing import with_arrays
from pytest_initcheck.probes.numpy_samples import refuse_loops_over_samples
from pytest_initcheck.probes.numpy_tape import Compute, Tape
from pytest_initcheck.probes.numpy_traced import SHOW
from pytest_initcheck.probes.numpy_windows import fusions
from pytest_initcheck.probes.tracebacks import place_of, user_traceback

Array = NDArray[Any]
_APART = 0.05
"""A traced run whose output is further from the plain one's is of something else: rounding is not."""
Draw = Callable[[], Any]


@dataclass
class _Run:
    """One traced run."""

    tape: Tape
    inputs: list[Array] = field(default_factory=list)
    returned: Any = None


def recorded(model: Any, call: Call, held: Holdings, expected: Any, *, draws: bool) -> NumpyFlow:
    """Run the model on traced arrays and return what can run again.

    * ``expected`` is what it returns on plain arrays; ``draws``: it drew random numbers then.

    Raises ModelError where a value leaves the trace, with the user's line.
    """
    state = np.random.get_state()
    first = _run(model, call, held)
    _is_the_same(plain(first.returned), expected)
    random: frozenset[int] = frozenset()
    if draws:
        np.random.set_state(state)
        _draw_on(held)
        random = _drawn(first.tape, _run(model, call, held).tape)
    return _flow(first, held, random)


def _run(model: Any, call: Call, held: Holdings) -> _Run:
    run = _Run(new_tape())
    try:
        arrays = _wrapping(run.tape, held)
        with with_arrays(model, arrays, stand_ins(run.tape)) as traced_model:
            own = _traced_call(run, call)
            returned = traced_model(*own.args, **own.kwargs)
            # before the arrays are put back: what was returned may be a view of what was written to
            run.returned = returned
            for traced in arrays_of(returned):
                if is_traced(traced):
                    run.tape.current(traced)
    except (ModelError, ConfigError):
        raise
    except Exception as error:
        if run.tape.escape is not None:
            raise run.tape.escape from None
        raise ModelError(
            f"the forward function runs on arrays, but on arrays that are followed it raised "
            f"{type(error).__name__} at {place_of(error)}: {error}; write it with NumPy's functions, "
            f"{SHOW}",
            traceback_text=user_traceback(error),
        ) from error
    finally:
        for array, before in run.tape.overwritten.values():
            array[...] = before
    if run.tape.escape is not None:
        raise run.tape.escape
    if not any(is_traced(item) for item in arrays_of(returned)):
        kind = next((type(item).__name__ for item in arrays_of(returned)), type(returned).__name__)
        raise ModelError(
            f"the output left the trace: the forward function returned a plain {kind} that none of the "
            f"operations on its inputs made; {_ALLOCATE}, {SHOW}"
        )
    return run


_ALLOCATE = "allocate arrays with np.zeros_like(x) and leave out= and conversions out"


def _wrapping(tape: Tape, held: Holdings) -> Callable[[Array], Any]:
    done = {
        id(item.array): wrapped(
            tape, item.array, tape.parameter(item.name, item.array, trained=item.trained)
        )
        for item in held.arrays.values()
    }

    def convert(array: Array) -> Any:
        return done.get(id(array), array)

    return convert


def _traced_call(run: _Run, call: Call) -> Call:
    def traced(name: str, value: Any) -> Any:
        if isinstance(value, np.ndarray) and value.dtype.kind in "fciub":
            own = value.copy()
            run.inputs.append(own)
            return wrapped(run.tape, own, run.tape.leaf("input", own, label=name))
        if type(value) in (tuple, list):
            return type(value)(traced(f"{name}.{i}", item) for i, item in enumerate(value))
        if type(value) is dict:
            return {key: traced(f"{name}.{key}", item) for key, item in value.items()}
        return value

    single = len(call.args) + len(call.kwargs) == 1
    args = tuple(traced("input" if single else f"input{i}", value) for i, value in enumerate(call.args))
    return Call(args, {key: traced(key, value) for key, value in call.kwargs.items()})


def arrays_of(returned: Any) -> Iterator[Any]:
    """Yield the arrays that a forward function returned; what is nested deeper is its own affair."""
    if type(returned) in (tuple, list):
        yield from (item for item in returned if isinstance(item, np.ndarray))
    elif isinstance(returned, dict):
        yield from (item for item in returned.values() if isinstance(item, np.ndarray))
    elif isinstance(returned, np.ndarray):
        yield returned


def _is_the_same(returned: Any, expected: Any) -> None:
    for one, other in zip(arrays_of(returned), arrays_of(expected), strict=False):
        a, b = np.asarray(one, dtype=np.complex128), np.asarray(other, dtype=np.complex128)
        if a.shape == b.shape and np.isfinite(a).all() and np.isfinite(b).all():
            size = max(float(np.max(np.abs(b), initial=0.0)), np.finfo(np.float64).tiny)
            if float(np.max(np.abs(a - b), initial=0.0)) <= _APART * size:
                continue
        if (
            a.shape == b.shape
            and bool((np.isfinite(a) == np.isfinite(b)).all())
            and not (np.isfinite(a).all())
        ):
            continue
        raise ModelError(
            "the forward function gives other values when it is followed than on plain arrays; draw "
            "random numbers from np.random or a generator that the model holds, and do not ask for "
            f"type(x), {SHOW}"
        )


# -- random numbers ------------------------------------------------------------------------------


def _draw_on(held: Holdings) -> None:
    """Let every generator be elsewhere than it was."""
    np.random.random(1)
    for generator in held.generators:
        generator.random(1)


def _drawn(first: Tape, second: Tape) -> frozenset[int]:
    """Return the constants that are others in a second run: they were drawn."""
    alike = len(first.nodes) == len(second.nodes) and all(
        a.op == b.op and a.shape == b.shape for a, b in zip(first.nodes, second.nodes, strict=True)
    )
    if not alike:
        first.unobserved.setdefault("random numbers", "they decide which operations run")
        return frozenset()
    return frozenset(
        a.index
        for a, b in zip(first.nodes, second.nodes, strict=True)
        if a.op == "constant" and not np.array_equal(a.value, b.value, equal_nan=a.floating)  # type: ignore[arg-type]
    )


# -- the flow ------------------------------------------------------------------------------------


@dataclass
class _Rebuilt:
    """Nodes renumbered, with those put in that tell a drawn mask from its scale."""

    nodes: list[Node] = field(default_factory=list)
    computes: list[Compute | None] = field(default_factory=list)
    values: dict[int, Any] = field(default_factory=dict)
    moved: dict[int, int] = field(default_factory=dict)
    places: list[Place] = field(default_factory=list)

    def add(
        self, node: Node, reads: tuple[int, ...], compute: Compute | None, place: Place = NOWHERE
    ) -> int:
        index = len(self.nodes)
        self.places.append(place)
        self.nodes.append(replace(node, index=index, reads=reads))
        self.computes.append(compute)
        return index


def _flow(run: _Run, held: Holdings, random: frozenset[int]) -> NumpyFlow:
    tape, rebuilt = run.tape, _Rebuilt()
    for node in tape.nodes:
        if node.index in random:
            rebuilt.moved[node.index] = _add_drawn(rebuilt, node, tape.values[node.index])
            continue
        reads = tuple(rebuilt.moved[read] for read in node.reads)
        index = rebuilt.add(node, reads, tape.computes[node.index], tape.places[node.index])
        rebuilt.moved[node.index] = index
        if node.index in tape.values:
            rebuilt.values[index] = tape.values[node.index]
    outputs = tuple(
        rebuilt.moved[tape.current(item)] for item in arrays_of(run.returned) if is_traced(item)
    )
    depending = tuple(
        rebuilt.moved[tape.current(item)]
        for item in arrays_of(run.returned)
        if is_traced(item) and tape.signal[tape.current(item)]
    )
    rebuilt, moved = _with_windows(rebuilt, {*outputs, *depending, *_returned_nodes(run, tape, rebuilt)})
    outputs, depending = (tuple(moved[i] for i in nodes) for nodes in (outputs, depending))
    rebuilt.moved = {old: moved[new] for old, new in rebuilt.moved.items() if new in moved}
    graph = Graph(tuple(rebuilt.nodes), depending or outputs)
    batch = len(run.inputs[0]) if run.inputs and run.inputs[0].ndim else 0
    refuse_loops_over_samples(graph, rebuilt.places, batch)
    return NumpyFlow(
        graph,
        _leaves(held, rebuilt.nodes),
        tuple(tape.unobserved.items()),
        tuple(rebuilt.computes),
        rebuilt.values,
        _places(run.returned, tape, rebuilt.moved),
        tuple(run.inputs),
    )


def _returned_nodes(run: _Run, tape: Tape, rebuilt: _Rebuilt) -> Iterator[int]:
    waiting = [run.returned]
    while waiting:
        item = waiting.pop()
        if is_traced(item):
            yield rebuilt.moved[tape.current(item)]
        elif type(item) in (tuple, list):
            waiting.extend(item)
        elif type(item) is dict:
            waiting.extend(item.values())


def _with_windows(rebuilt: _Rebuilt, asked: Collection[int]) -> tuple[_Rebuilt, dict[int, int]]:
    """Put convolutions and pools in the place of windows; return where each node went."""
    found = {item.node.index: item for item in fusions(rebuilt.nodes, rebuilt.computes)}
    nodes: list[Node | None] = [found[n.index].node if n.index in found else n for n in rebuilt.nodes]
    covered = {index for item in found.values() for index in item.covered}
    for index in sorted(covered, reverse=True):  # a window before what it was taken of
        if index not in asked and not any(n is not None and index in n.reads for n in nodes):
            nodes[index] = None
    after = _Rebuilt(moved=rebuilt.moved)
    moved: dict[int, int] = {}
    for index, node in enumerate(nodes):
        if node is None:
            continue
        compute = found[index].compute if index in found else rebuilt.computes[index]
        reads = tuple(moved[read] for read in node.reads)
        moved[index] = after.add(node, reads, compute, rebuilt.places[index])
        if index in rebuilt.values:
            after.values[moved[index]] = rebuilt.values[index]
    return after, moved


def _leaves(held: Holdings, nodes: list[Node]) -> tuple[Leaf, ...]:
    """Return the arrays in the order in which the forward pass reads them, the unread ones last."""
    read = [
        nodes[index].label for node in nodes for index in node.reads if nodes[index].op == "parameter"
    ]
    order = {name: place for place, name in enumerate(dict.fromkeys(read))}
    trained = (item for item in held.arrays.values() if item.trained)
    items = sorted(trained, key=lambda item: order.get(item.name, len(order)))
    return tuple(Leaf(i.name, i.array, path=i.path, aliases=i.aliases) for i in items)


def _places(returned: Any, tape: Tape, moved: Mapping[int, int]) -> Any:
    if is_traced(returned):
        return Returned(moved[tape.current(returned)])
    if type(returned) in (tuple, list):
        return type(returned)(_places(item, tape, moved) for item in returned)
    if type(returned) is dict:
        return {key: _places(item, tape, moved) for key, item in returned.items()}
    return returned


def _add_drawn(rebuilt: _Rebuilt, node: Node, value: Any) -> int:
    """Record drawn numbers; zeros and one other number are a mask times that number."""
    array = np.asarray(value)
    scales = np.unique(array) if array.dtype.kind == "f" else np.zeros(0)
    plain_leaf = replace(node, op="random", value=None)
    if not (scales.size == 2 and scales[0] == 0):
        index = rebuilt.add(plain_leaf, (), None)
        rebuilt.values[index] = value
        return index
    mask = rebuilt.add(replace(plain_leaf, dtype="bool"), (), None)
    rebuilt.values[mask] = array != 0
    dtype = array.dtype
    cast = rebuilt.add(replace(plain_leaf, op="cast"), (mask,), lambda x: np.asarray(x).astype(dtype))
    if scales[1] == 1:
        return cast
    scale = rebuilt.add(replace(node, shape=(), value=np.asarray(scales[1])), (), None)
    rebuilt.values[scale] = scales[1]
    return rebuilt.add(replace(plain_leaf, op="mul"), (cast, scale), np.multiply)

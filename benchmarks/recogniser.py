"""Is a scheme recognised from one weight?  Draws every scheme on several layers and recognises it.

Prints, per true scheme, how often it is in the set of schemes that explain the weight, and how often it
comes first among those whose variances can be told apart: they differ by more than 6 standard
deviations sqrt((kurtosis - 1) / N).  Exits with 1 unless the first is 98.5 % and the second 99 %.

    python benchmarks/recogniser.py [--quick]
"""

from __future__ import annotations

import argparse
import math
import sys
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from pytest_initcheck import initializers as init
from pytest_initcheck.initializers import Layer, Match, Scheme

LAYERS = (
    init.dense(64, 64),
    init.dense(64, 96),
    init.dense(256, 128),
    init.conv(32, 64, 3, 3),
    init.grouped_conv(64, 128, 3, 3, groups=4),
    init.conv_transposed(64, 32, 4, 4, stride=2),
    init.fused_qkv(64, layout="torch"),
    init.recurrent(64, 64, layout="torch"),
    init.embedding(256, 64),
)
IN_SET, FIRST = 0.985, 0.99
APART = 6.0


def schemes() -> tuple[Scheme, ...]:
    """Every named scheme without the deterministic ones' doubles, and some that are fitted."""
    return (
        *init.named_schemes(),
        init.delta_orthogonal(),
        init.mup_output(),
        init.siren_first(),
        init.siren_hidden(),
        *init.library_schemes(),
    )


@dataclass
class Row:
    """What one true scheme was taken for, over all layers and draws."""

    draws: int = 0
    in_set: int = 0
    first: int = 0
    taken_for: Counter[str] = field(default_factory=Counter)


def same(match: Match, scheme: Scheme, layer: Layer) -> bool:
    """Tell whether a match is the scheme, or one that draws the same on this layer."""
    other = match.scheme
    if match.fitted:
        return False
    return (other.draw == scheme.draw or {other.draw, scheme.draw} <= ALIKE) and moments(
        other, layer
    ) == moments(scheme, layer)


ALIKE = {"truncated_normal", "bounded_normal"}


def moments(scheme: Scheme, layer: Layer) -> tuple[float, ...]:
    numbers = (
        scheme.layer_variance(layer),
        scheme.layer_mean(layer),
        scheme.layer_kurtosis(layer),
    )
    return tuple(float(f"{number:.8e}") for number in numbers)


def apart(match: Match, scheme: Scheme, layer: Layer) -> bool:
    """Tell whether the variances of a match and of the scheme can be told apart on this layer."""
    wanted, other = scheme.layer_variance(layer), match.scheme.layer_variance(layer)
    error = max(scheme.layer_error(layer), 1e-4)
    return abs(other - wanted) > APART * error * max(wanted, 1e-30)


def draws(scheme: Scheme, layer: Layer, count: int) -> Iterator[np.ndarray]:
    key = zlib.crc32(f"{scheme.name} {layer.text}".encode())
    for index in range(1 if scheme.deterministic else count):
        yield scheme.sample(np.random.default_rng([key, index]), layer)


def recognised(row: Row, scheme: Scheme, layer: Layer, weight: np.ndarray) -> None:
    matches = init.recognise(weight, layer)
    row.draws += 1
    row.in_set += any(same(match, scheme, layer) for match in matches)
    told = [match for match in matches if same(match, scheme, layer) or apart(match, scheme, layer)]
    row.first += bool(told) and same(told[0], scheme, layer)
    row.taken_for[matches[0].scheme.name if matches else "nothing"] += 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer draws, some 20 seconds")
    count = 4 if parser.parse_args().quick else 40
    table: dict[str, Row] = {}
    by_layer: dict[str, Row] = {}
    for layer in LAYERS:
        for scheme in schemes():
            if scheme.misfit(layer):
                continue
            row = table.setdefault(scheme.name, Row())
            before = (row.draws, row.in_set, row.first)
            for weight in draws(scheme, layer, count):
                recognised(row, scheme, layer, weight)
            other = by_layer.setdefault(layer.text, Row())
            other.draws += row.draws - before[0]
            other.in_set += row.in_set - before[1]
            other.first += row.first - before[2]
    print(f"{'true scheme':<46}{'draws':>6}{'in set':>9}{'first':>9}  most often recognised as")
    for name, row in table.items():
        print(f"{name:<46}{figures(row)}  {shown(row)}")
    print(f"\n{'layer':<46}{'draws':>6}{'in set':>9}{'first':>9}")
    for name, row in by_layer.items():
        print(f"{name:<46}{figures(row)}")
    total = Row(
        *(sum(getattr(row, key) for row in table.values()) for key in ("draws", "in_set", "first"))
    )
    print(f"\n{'all':<46}{figures(total)}")
    good = total.in_set / total.draws >= IN_SET and total.first / total.draws >= FIRST
    print(
        f"{'holds' if good else 'DOES NOT HOLD'}: the true scheme is in the set in at least "
        f"{IN_SET:.1%} and first in at least {FIRST:.0%}"
    )
    return 0 if good else 1


def figures(row: Row) -> str:
    shares = (row.in_set / row.draws, row.first / row.draws)
    return f"{row.draws:>6}" + "".join(f"{math.floor(share * 1e4) / 1e4:>9.2%}" for share in shares)


def shown(row: Row) -> str:
    return ", ".join(f"{name} {times / row.draws:.0%}" for name, times in row.taken_for.most_common(3))


if __name__ == "__main__":
    sys.exit(main())

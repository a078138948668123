"""How often does one replicate of a correct init violate a widened limit?  The walk needs at most 0.1.

Prints the largest share per claim over layers and matched schemes, and exits with 1 if it exceeds 0.1 by
more than luck.

    python benchmarks/initializer_check.py [--quick]
"""

from __future__ import annotations

import argparse
import sys

import numpy as np

from pytest_initcheck import initializers as init
from pytest_initcheck.initializer_check.measures import Asked, Tolerances, measures, seeds_wanted
from pytest_initcheck.sequential import P0

LAYERS = (
    init.dense(1, 1),
    init.dense(8, 8),
    init.dense(2, 300),
    init.dense(300, 2),
    init.dense(64, 64),
    init.conv(3, 16, 3, 3),
    init.grouped_conv(32, 64, 3, 3, groups=4),
    init.depthwise_conv(16, 1, 1),
    init.depthwise_conv(64, 7, 7),
    init.conv_transposed(16, 8, 4, 4, stride=2),
    init.embedding(100, 16),
    init.tied(100, 16),
    init.fused_qkv(16),
    init.recurrent(16, 8),
)
LUCK = 2.33
ACTIVATIONS = ("relu", "tanh", "selu", "gelu")


def violations(scheme: init.Scheme, layer: init.Layer, name: str, count: int) -> dict[str, float]:
    """Return the share of replicates that violate, per claim."""
    structured = scheme.draw in ("orthogonal", "delta_orthogonal")
    asked = Asked(layer, init.needs(name, layer), Tolerances(), scheme)
    found: dict[str, int] = {}
    per_replicate = seeds_wanted(layer)
    for replicate in range(count if not structured else max(count // 10, 3)):
        rng = np.random.default_rng([replicate, layer.count])
        weights = [scheme.sample(rng, layer) for _ in range(per_replicate)]
        for claims in measures(weights, asked).values():
            for measure in claims:
                found[measure.claim] = found.get(measure.claim, 0) + measure.violated
    return {
        claim: times / (count if not structured else max(count // 10, 3))
        for claim, times in found.items()
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer replicates")
    count = 20 if parser.parse_args().quick else 100
    worst: dict[str, tuple[float, str]] = {}
    cases = 0
    for layer in LAYERS:
        for name in ACTIVATIONS:
            for scheme in init.matched(name):
                cases += 1
                for claim, share in violations(scheme, layer, name, count).items():
                    worst[claim] = max(
                        worst.get(claim, (-1.0, "")), (share, f"{scheme.name} on {layer.text}")
                    )
    print(f"{cases} matched schemes and layers, {count} replicates each: P(one replicate violates)")
    for claim, (share, case) in worst.items():
        print(f"{claim:<12}{share:>7.3f}  at most, {case}")
    # the largest of many shares exceeds the true ones by luck
    luck = LUCK * (P0 * (1 - P0) / count) ** 0.5
    return 0 if all(share <= P0 + luck for share, _ in worst.values()) else 1


if __name__ == "__main__":
    sys.exit(main())

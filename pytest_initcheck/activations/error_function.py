"""erf, erfc and the normal law over arrays, to the last digits and without a loop in Python.

The rational approximations are those of Cephes (S. L. Moshier 1989, ndtr.c).  PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import math

import numpy as np

from pytest_initcheck.activations.form import Array

_FURTHEST = 26.7
"""erfc is below the smallest float beyond it."""
_NEAR = (
    (
        9.60497373987051638749e0,
        9.00260197203842689217e1,
        2.23200534594684319226e3,
        7.00332514112805075473e3,
        5.55923013010394962768e4,
    ),
    (
        1.0,
        3.35617141647503099647e1,
        5.21357949780152679795e2,
        4.59432382970980127987e3,
        2.26290000613890934246e4,
        4.92673942608635921086e4,
    ),
)
_MIDDLE = (
    (
        2.46196981473530512524e-10,
        5.64189564831068821977e-1,
        7.46321056442269912687e0,
        4.86371970985681366614e1,
        1.96520832956077098242e2,
        5.26445194995477358631e2,
        9.34528527171957607540e2,
        1.02755188689515710272e3,
        5.57535335369399327526e2,
    ),
    (
        1.0,
        1.32281951154744992508e1,
        8.67072140885989742329e1,
        3.54937778887819891062e2,
        9.75708501743205489753e2,
        1.82390916687909736289e3,
        2.24633760818710981792e3,
        1.65666309194161350182e3,
        5.57535340817727675546e2,
    ),
)
_FAR = (
    (
        5.64189583547755073984e-1,
        1.27536670759978104416e0,
        5.01905042251180477414e0,
        6.16021097993053585195e0,
        7.40974269950448939160e0,
        2.97886665372100240670e0,
    ),
    (
        1.0,
        2.26052863220117276590e0,
        9.39603524938001434673e0,
        1.20489539808096656605e1,
        1.70814450747565897222e1,
        9.60896809063285878198e0,
        3.36907645100081516050e0,
    ),
)


def _ratio(x: Array, coefficients: tuple[tuple[float, ...], tuple[float, ...]]) -> Array:
    above, below = coefficients
    return np.asarray(np.polyval(above, x) / np.polyval(below, x))


def erf(z: Array) -> Array:
    """Return the error function, elementwise.

    >>> float(erf(np.array(0.5))) == math.erf(0.5)
    True
    """
    z = np.asarray(z, dtype=np.float64)
    near = np.abs(z) <= 1
    inside = np.where(near, z, 0.0)
    value = inside * _ratio(inside * inside, _NEAR)
    if near.all():
        return np.asarray(value)
    return np.where(near, value, np.sign(z) * (1 - _upper(np.where(near, 1.0, np.abs(z)))))


def erfc(z: Array) -> Array:
    """Return 1 - erf(z), elementwise, with its relative accuracy kept in the upper tail.

    >>> math.isclose(erfc(np.array(9.0)), math.erfc(9.0), rel_tol=1e-13)
    True
    """
    z = np.asarray(z, dtype=np.float64)
    inside = np.where(np.abs(z) <= 1, z, 0.0)
    upper = _upper(np.maximum(np.abs(z), 1.0))
    near = 1 - inside * _ratio(inside * inside, _NEAR)
    return np.where(z > 1, upper, np.where(z < -1, 2 - upper, near))


def _upper(x: Array) -> Array:
    """erfc for x >= 1."""
    x = np.minimum(x, _FURTHEST)
    # exp(-x^2) with the rounding of x^2 taken out (Cephes, expx2)
    high = np.floor(128 * x) / 128
    decay = np.exp(-high * high) * np.exp(-(x - high) * (x + high))
    value = decay * np.where(x < 8, _ratio(x, _MIDDLE), _ratio(x, _FAR))
    return np.where(x < _FURTHEST, value, 0.0)


def normal_cdf(z: Array) -> Array:
    """Return P(N(0, 1) <= z), elementwise.

    >>> float(normal_cdf(np.array(0.0)))
    0.5
    """
    return 0.5 * erfc(-z / math.sqrt(2))


def normal_pdf(z: Array) -> Array:
    """Return the density of N(0, 1), elementwise.

    >>> round(float(normal_pdf(np.array(0.0))), 6)
    0.398942
    """
    return np.asarray(np.exp(-0.5 * z * z) / math.sqrt(2 * math.pi))

"""What ``drift`` means, which has no decorator and no limit.  PYTEST_DONT_REWRITE"""

from __future__ import annotations

from pytest_initcheck.explain.explanation import Cause

MATTERS = (
    "A framework, a library or a refactoring changes how a layer is drawn, every limit still holds, and "
    "runs from before can no longer be compared with runs from after."
)
JUDGED = (
    "With --initcheck-baseline FILE. It fails when a layer's gain, or the root mean square of its "
    "weight or of its bias lies outside the band of the initialisations that its profile is made of, in "
    "13 replicates more than not. A model with other layers is not compared, one with other inputs "
    "without its gains, and both are noted. Families have no profile."
)
THEORY = (
    "The band is the geometric mean with at least 3.2 standard deviations of log2 on both sides, 4.3 "
    "for 32 initialisations: Chebyshev's inequality leaves 9.8 % outside of 3.2 for any distribution, a "
    "normal one leaves 0.14 %. So an init that has not changed is outside in fewer than 10 % of draws, "
    "which is what the sequential test takes for granted."
)
SOURCES = ("Wald 1945, Sequential tests of statistical hypotheses",)
CAUSES = (
    Cause("another version of the framework or of a library", "pin it, or write the baseline anew"),
    Cause("a changed default init", "draw it yourself: a library's default is its own to change"),
    Cause("a layer that was meant to change", "pytest --initcheck --initcheck-update-baseline"),
)

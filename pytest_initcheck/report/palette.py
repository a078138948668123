"""The colours of plots and pages, in light and dark: ``figures`` and the style sheet share them.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

THEMES = ("light", "dark")

_PAIRS = {
    # the page
    "page": ("#faf9f7", "#131417"),
    "surface": ("#ffffff", "#1c1e22"),
    "raised": ("#f3f1ed", "#26292e"),
    "text": ("#1d1c1a", "#eae8e4"),
    "muted": ("#5d5a55", "#a9a59e"),
    "edge": ("#e2dfd9", "#34373d"),
    "accent": ("#1f52bd", "#8fb6ff"),
    # verdicts, as text on their own tint
    "pass": ("#17693a", "#74d69e"),
    "pass-tint": ("#e5f3ea", "#17301f"),
    "fail": ("#ab231b", "#ff9f97"),
    "fail-tint": ("#fdebe9", "#3b1b19"),
    "inconclusive": ("#7d5200", "#f1c366"),
    "inconclusive-tint": ("#fcf1d9", "#332810"),
    "known": ("#2f5d73", "#9cc9df"),
    "known-tint": ("#e6f0f5", "#18292f"),
    "error": ("#84207a", "#e9a6df"),
    "error-tint": ("#f7e7f5", "#341b31"),
    # curves
    "signal": ("#1f52bd", "#82adff"),
    "centred": ("#0b7d7d", "#4fd0c8"),
    "matched": ("#3f8f5f", "#6fbf8d"),
    "matched-fill": ("rgba(63,143,95,0.20)", "rgba(111,191,141,0.20)"),
    "seeds-fill": ("rgba(31,82,189,0.16)", "rgba(130,173,255,0.20)"),
    "fixed": ("#17693a", "#74d69e"),
    "gradient": ("#7038b8", "#c4a0ff"),
    "saturated": ("#b25000", "#ffae66"),
    "dead": ("#6a6661", "#b4afa8"),
    "wrong": ("#ab231b", "#ff9f97"),
    "grid": ("#ebe8e3", "#2b2e33"),
    "block": ("rgba(100,90,75,0.08)", "rgba(255,255,255,0.06)"),
}


def colours(theme: str) -> dict[str, str]:
    """Return the colours of a theme by the names that figures call them.

    >>> colours("light")["colour-page"]
    '#faf9f7'
    """
    place = THEMES.index(theme)
    return {f"colour-{name}": pair[place] for name, pair in _PAIRS.items()}


def style_variables() -> str:
    """Return the colours as CSS custom properties that follow ``color-scheme``.

    >>> style_variables().splitlines()[0]
    '--page: light-dark(#faf9f7, #131417);'
    """
    return "\n".join(f"--{name}: light-dark({light}, {dark});" for name, (light, dark) in _PAIRS.items())

"""The plots of a Report, as plotly reads them: plain dicts, in which ``"@name"`` stands for a value.

What a page and a notebook show is the same figure: the page fills in the colours of its theme and the
columns of its table by itself. plotly is imported by :func:`figure` alone.  PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from pytest_initcheck.errors import ConfigError
from pytest_initcheck.report import figure_traces as traces
from pytest_initcheck.report.figure_traces import Scale, Spec
from pytest_initcheck.report.figure_values import bins, columns, first_wrong, labels, resolved
from pytest_initcheck.report.palette import THEMES, colours
from pytest_initcheck.report.result import PreActivations, Report

NOT_INSTALLED = "needs plotly and jinja2; run: python -m pip install 'pytest-initcheck[html]'"
_GAP = 0.05
_PANELS = {"signal": 0.52, "gradient": 0.24, "shares": 0.2}
"""The panels from above and how much of the height each takes."""


# -- the signal, the gradient and the shares over depth --------------------------------------------


def propagation(report: Report) -> Spec:
    """Return the figure of second moments, gradients, saturated and dead shares over depth.

    Panels for which nothing was measured are left out.

    >>> sorted(propagation(Report("m", None, "pass", 0)))
    ['data', 'layout']
    """
    scale = traces.signal_scale(report)
    panels = {
        "signal": (traces.signal(report, scale), _logarithmic("signal", scale, ticks=6)),
        "gradient": (
            traces.gradient(report),
            _logarithmic("gradient", traces.scale_of(row.gradient for row in report.sites), ticks=3),
        ),
        "shares": (traces.shares(report), _SHARES),
    }
    return _stacked({name: panel for name, panel in panels.items() if panel[0]}, report)


def _logarithmic(title: str, scale: Scale, ticks: int) -> Spec:
    return {
        **_Y,
        "type": "log",
        "title": {"text": title, "standoff": 8},
        "range": [scale.low, scale.high],
        "dtick": max(1, math.ceil((scale.high - scale.low) / ticks)),
        "exponentformat": "power",
    }


def _stacked(panels: Mapping[str, tuple[list[Spec], Spec]], report: Report) -> Spec:
    """Return the panels one below the other over the same sites."""
    free = 1 - _GAP * (len(panels) - 1)
    whole = sum(_PANELS[name] for name in panels)
    data: list[Spec] = []
    layout = _layout()
    top = 1.0
    for place, (name, (drawn, axis)) in enumerate(panels.items(), start=1):
        number = "" if place == 1 else str(place)
        domain = [max(0.0, top - free * _PANELS[name] / whole), top]
        layout[f"yaxis{number}"] = {**axis, "domain": domain}
        if name == "signal":
            # an axis of its own keeps what has no height below the curves
            layout["yaxis4"] = {**_HIDDEN, "domain": domain}
            layout["yaxis"]["overlaying"] = "y4"
        data += [{"yaxis": f"y{number}", **trace} for trace in drawn]
        top = domain[0] - _GAP
    layout["xaxis"]["range"] = [-0.7, len(report.sites) - 0.3]
    layout["xaxis"]["anchor"] = f"y{len(panels)}" if len(panels) > 1 else "y"
    layout["height"] = 200 + 150 * len(panels)
    wrong = first_wrong(report)
    if wrong is not None:
        layout["shapes"] = [
            {
                "type": "line",
                "xref": "x",
                "yref": "paper",
                "x0": wrong,
                "x1": wrong,
                "y0": 0,
                "y1": 1,
                "line": {"color": "@colour-wrong", "width": 1, "dash": "dot"},
            }
        ]
        right = wrong > len(report.sites) / 2
        layout["annotations"] = [
            {
                "x": wrong,
                "xref": "x",
                "y": 1,
                "yref": "paper",
                "xanchor": "right" if right else "left",
                "yanchor": "bottom",
                "text": "@wrong_label",
                "showarrow": False,
                "font": {"color": "@colour-wrong", "size": 12},
            }
        ]
    return {"data": data, "layout": layout}


_Y: Spec = {
    "gridcolor": "@colour-grid",
    "zeroline": False,
    "linecolor": "@colour-edge",
    "automargin": True,
    "fixedrange": True,
}
_SHARES: Spec = {
    **_Y,
    "title": {"text": "share", "standoff": 8},
    "range": [0, 1.02],
    "tickformat": ".0%",
    "nticks": 4,
}
_HIDDEN: Spec = {"range": [0, 1], "visible": False, "fixedrange": True}


def _layout() -> Spec:
    return {
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"color": "@colour-text", "size": 12, "family": "system-ui, sans-serif"},
        "margin": {"l": 56, "r": 12, "t": 28, "b": 40},
        "showlegend": False,
        "hovermode": "x unified",
        "hoversubplots": "axis",
        "hoverlabel": {
            "bgcolor": "@colour-surface",
            "bordercolor": "@colour-edge",
            "font": {"color": "@colour-text"},
        },
        "barmode": "group",
        "bargap": 0.15,
        "dragmode": False,
        "xaxis": {
            "tickmode": "array",
            "tickvals": "@tick_at",
            "ticktext": "@tick_text",
            "tickangle": -40,
            "gridcolor": "@colour-grid",
            "zeroline": False,
            "linecolor": "@colour-edge",
            "automargin": True,
            "fixedrange": True,
            "labelalias": "@alias",  # the names, where the pointer is
            "exponentformat": "none",
            "spikecolor": "@colour-muted",
            "spikethickness": 1,
            "spikedash": "dot",
        },
    }


# -- what an activation reads ----------------------------------------------------------------------


def histogram() -> Spec:
    """Return the figure of one activation's argument; the values are those of :func:`bins`."""
    layout = _layout()
    layout |= {
        "hovermode": "closest",
        "height": 260,
        "bargap": 0,
        "margin": {"l": 56, "r": 12, "t": 12, "b": 44},
    }
    layout["xaxis"] = {
        "title": {"text": "pre-activation z"},
        "gridcolor": "@colour-grid",
        "zeroline": False,
        "fixedrange": True,
        "automargin": True,
        "range": "@bin_range",
    }
    layout["yaxis"] = {**_Y, "title": {"text": "share of values"}, "tickformat": ".0%", "nticks": 5}
    layout["shapes"] = [
        {
            "type": "rect",
            "layer": "below",
            "xref": "x",
            "yref": "paper",
            "x0": "@linear_from",
            "x1": "@linear_to",
            "y0": 0,
            "y1": 1,
            "fillcolor": "@colour-matched-fill",
            "line": {"width": 0},
        }
    ]
    bars = {
        "type": "bar",
        "x0": "@bin_first",
        "dx": "@bin_width",
        "y": "@bin_shares",
        "marker": {"color": "@colour-signal", "line": {"width": 0}},
        "hovertemplate": "z = %{x:.3g}<br>%{y:.2%} of the values<extra></extra>",
    }
    return {"data": [bars], "layout": layout}


# -- plotly ----------------------------------------------------------------------------------------


def figure(report: Report, site: str | None = None, theme: str = "light") -> Any:
    """Return the plotly figure of a report, or of what the activation ``site`` reads.

    Raises ConfigError with the install command without plotly, and for an unknown site or theme.
    """
    try:
        from plotly import graph_objects
    except ModuleNotFoundError as error:
        raise ConfigError(f"report.plot() {NOT_INSTALLED}") from error
    if theme not in THEMES:
        raise ConfigError(f"theme is 'light' or 'dark', got {theme!r}")
    values = {**colours(theme), **columns(report), **labels(report)}
    if site is None:
        spec = propagation(report)
        spec["layout"] |= {
            "showlegend": True,
            "legend": {"orientation": "h", "y": -0.16, "yanchor": "top"},
        }
    else:
        spec, values = histogram(), {**values, **bins(_of_site(report, site))}
    spec["layout"]["paper_bgcolor"] = "@colour-surface"
    return graph_objects.Figure(resolved(spec, values))


def _of_site(report: Report, site: str) -> PreActivations:
    known = {row.name: row.pre_activations for row in report.sites if row.pre_activations is not None}
    if site not in known:
        shown = ", ".join(list(known)[:5]) or "none"
        raise ConfigError(f"no histogram was taken at {site!r}; there are: {shown}")
    return known[site]

"""What a page says of a run, a model and a finding, in words. PYTEST_DONT_REWRITE"""

from __future__ import annotations

from collections.abc import Iterable

from pytest_initcheck.report.figure_values import first_wrong
from pytest_initcheck.report.prose import number, plain
from pytest_initcheck.report.result import Finding, Report, verdict_counts


def headline(reports: Iterable[Report]) -> str:
    """Return what there is to say of a run in one sentence; models are counted by their worst example.

    >>> headline([Report("m", None, "pass", 0), Report("n", None, "fail", 0)])
    '1 of 2 models does not start in a trainable place'
    """
    counts = verdict_counts(reports)
    total = counts.total()
    if not total:
        return "No model was checked"
    if counts["pass"] == total:
        whole = "The model starts" if total == 1 else f"All {total} models start"
        return f"{whole} in a trainable place"
    if counts["pass"] + counts["known"] == total:
        return (
            f"{counts['known']} of {total} models fail{'s' * (counts['known'] == 1)} in known ways only"
        )
    for verdict, one, many in (
        ("fail", "does not start in a trainable place", "do not start in a trainable place"),
        ("error", "could not be judged", "could not be judged"),
        ("inconclusive", "is undecided", "are undecided"),
    ):
        if counts[verdict]:
            return f"{counts[verdict]} of {total} models {one if counts[verdict] == 1 else many}"
    raise AssertionError(counts)


def described(report: Report) -> str:
    """Return the plot of a report in words.

    >>> described(Report("m", None, "pass", 0))
    'No site was seen.'
    """
    rows = report.sites
    if not rows:
        return "No site was seen."
    first, last = number(rows[0].second_moment), number(rows[-1].second_moment)
    text = (
        f"The second moment over {len(rows)} sites, from {first} at the input to {last} at the output."
    )
    wrong = first_wrong(report)
    return text if wrong is None else f"{text} The first wrong site is {plain(rows[wrong].name)}."


def place_of(finding: Finding) -> tuple[str, str]:
    """Return a finding's place and what was seen there, as two texts.

    >>> texts = ("fc (Linear): it grows", "cause", "fix", "proof")
    >>> place_of(Finding("variance", "error", "fail", None, "fc", 1.0, (None, 1.0), *texts))
    ('fc (Linear)', 'it grows')
    """
    if finding.place:
        return finding.place, finding.message.removeprefix(f"{finding.place}: ")
    place, colon, seen = finding.message.partition(": ")
    if colon and (finding.site is None or place.startswith(finding.site)):
        return place, seen
    return "", finding.message


def limits(limit: tuple[float | None, float | None]) -> str:
    """Return a limit in words, "" for none.

    >>> limits((0.0, 0.25)), limits((2.0**-16, 46.0)), limits((None, None))
    ('at most 0.25', '1.53e-05 to 46', '')
    """
    low, high = limit
    if not low:
        return "" if high is None else f"at most {number(high)}"
    return f"at least {number(low)}" if high is None else f"{number(low)} to {number(high)}"


def parted(id: str) -> tuple[str, str]:
    """Return an id as the path to a model and the name of the model.

    >>> parted("zoo/models.py::classifier")
    ('zoo/models.py::', 'classifier')
    """
    path, colons, name = id.rpartition("::")
    return path + colons, name

"""A comparison in words: a Markdown document and a JSON one.

Owns wording and layout. What may be said is decided in `matches.py`; printing is the command's.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from benchbird.assessment import ALPHA
from benchbird.changes import Change
from benchbird.comparison import Side, StudyComparison
from benchbird.definitions import DEFINITIONS
from benchbird.matches import Match
from benchbird.plain_text import plain_text
from benchbird.record_json import json_value
from benchbird.reporters.markdown import escape, escape_line, table
from benchbird.verdict import p_text, points

LABEL_LENGTH = 60
VALUE_LENGTH = 80
HASH_LENGTH = 12
"""Of a SHA-256, so many digits tell two sources apart."""

HEADINGS = (
    "segmenter", "A", "B", "B − A", "95 % interval", "p", "p Holm", "seeds", "recordings", "P(B higher)", "detectable",
)  # fmt: skip


def render_comparison(comparison: StudyComparison) -> str:
    """Title, table, verdicts, what differs, notes."""
    c = comparison
    title = [f"**A** (before): {escape(_described(c.before))}", f"**B** (after): {escape(_described(c.after))}"]
    verdicts = [f"- {escape_line(sentence(match))}" for match in c.matches]
    blocks = [
        "\n".join([*title, f"By {escape(DEFINITIONS[c.metric].title)}; differences are B − A."]),
        _table(c.matches),
        "\n".join(["Verdict:", "", *verdicts]),
        "\n".join(["What differs:", "", *_differing(c)]),
    ]
    if unmatched := _unmatched(c):
        blocks.append("\n".join(unmatched))
    blocks.append("\n".join(map(escape, _notes(c))))
    return "\n\n".join(blocks) + "\n"


def comparison_document(comparison: StudyComparison) -> dict[str, Any]:
    """The same as JSON values, each match with its `verdict` in words."""
    document = json_value(comparison)
    assert isinstance(document, dict)
    for match, value in zip(comparison.matches, document["matches"], strict=True):
        value["verdict"] = sentence(match)
    return document


def sentence(match: Match) -> str:
    """What can be said of one match: plain text of one line."""
    name, reason = named(match), plain_text(match.reason, 400)
    if match.difference is None:
        return f"{name}: can't tell: {reason}."
    interval = "" if match.low is None or match.high is None else f"{_signed(match.low)} to {_signed(match.high)}"
    gap = ", ".join(part for part in (f"{_signed(match.difference)} points", interval) if part)
    if match.outcome == "undecided":
        alone = f" over {match.covers} alone" if match.covers in ("seeds", "recordings") else ""
        return f"{name}: can't tell: {gap}{alone}; {reason}."
    if match.outcome == "no difference":
        # An interval of one match alone may leave 0 out where Holm's correction for all of them doesn't.
        is_close = match.p_value is not None and match.p_value < ALPHA
        seen = f"; {p_text(match.p_adjusted)} after Holm" if is_close else ""
        if match.detectable is not None:
            seen += f"; a change of {points(match.detectable)} points would be seen four times in five"
        return f"{name}: no difference beyond the noise ({gap}{seen})."
    what = "a regression of" if match.outcome == "regression" else "better by"
    size = points(abs(match.difference))
    return f"{name}: {what} {size} points (95 % interval {interval}; {p_text(match.p_adjusted)} after Holm)."


def named(match: Match) -> str:
    """The match's label, or both of them; of one line."""
    labels = dict.fromkeys(plain_text(label, LABEL_LENGTH) for label in (match.before, match.after))
    return " → ".join(labels)


def _signed(fraction: float) -> str:
    """Points with a sign; what rounds to nothing has none."""
    text = points(fraction).removeprefix("−") if abs(fraction) < 0.0005 else points(fraction)
    return f"+{text}" if fraction >= 0.0005 else text


def _described(side: Side) -> str:
    facts = f"{side.benchmark}, profile {side.profile}, study {side.study}, data {side.dataset}"
    return plain_text(facts, 400)


def _table(matches: Sequence[Match]) -> str:
    return table(HEADINGS, [_cells(match) for match in matches])


def _cells(match: Match) -> list[str]:
    counts = [str(len(seeds)) for seeds in (match.seeds_before, match.seeds_after)]
    interval = [_signed(end) for end in (match.low, match.high) if end is not None]
    return [
        named(match),
        *(_number(mean, ".3f") for mean in (match.mean_before, match.mean_after)),
        _signed(match.difference) if match.difference is not None else "–",
        " to ".join(interval) or "–",
        *("≤0.001" if p is not None and p < 0.001 else _number(p, ".3f") for p in (match.p_value, match.p_adjusted)),
        counts[0] if counts[0] == counts[1] else "/".join(counts),
        str(match.n_recordings or "–"),
        _number(match.probability, ".2f"),
        points(match.detectable) if match.detectable is not None else "–",
    ]


def _number(value: float | None, spelling: str) -> str:
    return "–" if value is None else format(value, spelling)


def _differing(comparison: StudyComparison) -> list[str]:
    if comparison.changes:
        lines = [_change(change) for change in comparison.changes]
    else:
        lines = ["- nothing differs in protocol and data"]
    lines += [_change(change) for change in comparison.environment]
    for match in comparison.matches:
        lines += [_change(change, f"segmenter **{escape(named(match))}**, ") for change in match.changes]
    return lines


def _change(change: Change, of: str = "") -> str:
    key = escape(plain_text(change.key, VALUE_LENGTH))
    return f"- {of}{key}: {_value(change, change.before)} → {_value(change, change.after)}"


def _value(change: Change, value: Any) -> str:
    if value is None:
        return "–"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if change.key.endswith("sha256"):
        text = text[:HASH_LENGTH]
    return escape(plain_text(text, VALUE_LENGTH)) or '""'


def _unmatched(comparison: StudyComparison) -> list[str]:
    """Segmenters that only one side has, and trials without a score."""
    lines = []
    for name, side in (("A", comparison.before), ("B", comparison.after)):
        if side.unmatched:
            lines.append(f"Only in {name}: {_joined(side.unmatched)}.")
        for trial in side.failed:
            fate = plain_text(f"{trial.status}: {trial.reason}", 300)
            label = plain_text(trial.label, LABEL_LENGTH)
            lines.append(f"Without a score in {name}: **{escape(label)}** seed {trial.seed}, {escape(fate)}")
    return lines


def _joined(labels: Iterable[str]) -> str:
    return ", ".join(f"**{escape(plain_text(label, LABEL_LENGTH))}**" for label in labels)


def _notes(comparison: StudyComparison) -> list[str]:
    definition = DEFINITIONS[comparison.metric]
    seeds = "all seeds" if comparison.other_test_data else "the seeds in common"
    return [
        f"{definition.title}: {definition.meaning} A and B: means over {seeds}. B − A, its 95 % interval and what is "
        "detectable (seen four times in five) are in points, hundredths of the scale.",
        "p Holm: after Holm's correction for all segmenters that can be decided. P(B higher): that B has the higher "
        "score on a random recording with a random seed, ties half.",
    ]

"""Whatever a benchmark file holds, it is loaded or refused in words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchbird.config.benchmark import load_benchmark
from benchbird.errors import ConfigError
from tests.config.benchmark_files import SMALL, Write

KEYS = st.sampled_from(
    ["name", "data", "protocol", "segmenters", "plugins", "seeds", "limits", "profiles", "cpu", "full",
     "root", "sizes", "train", "synthetic", "seed", "options", "label", "optimizer", "lr", "epochs",
     "recording_pattern", "where", "folds", "fold", "also_test", "resize"]
)  # fmt: skip
SCALARS = (
    st.sampled_from(
        ["unet", "synthetic", "birdsound", "", "~x", "(?P<recording>x)", "(", "[[a]", "on", "x" * 5000]
    )
    | st.none() | st.booleans() | st.integers() | st.floats(allow_nan=True) | st.text(max_size=5)
)  # fmt: skip
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)
BENCHMARKS = st.dictionaries(KEYS, VALUES, max_size=6)
OVERRIDES = st.tuples(st.lists(KEYS, min_size=1, max_size=3).map(".".join), VALUES | st.text(max_size=10)).map(
    lambda pair: f"{pair[0]}={json.dumps(pair[1])}" if not isinstance(pair[1], str) else f"{pair[0]}={pair[1]}"
)


def load_or_refuse(text: str, profile: str | None, overrides: list[str]) -> None:
    Path("b.yaml").write_text(text, encoding="utf-8", errors="surrogatepass")
    try:
        config = load_benchmark("b.yaml", profile=profile, overrides=overrides)
    except ConfigError as error:
        assert error.faults and str(error)
    else:
        json.dumps(config.as_dict(), allow_nan=False)
        assert config.segmenters and config.seeds


FUZZ = settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@FUZZ
@given(BENCHMARKS, st.sampled_from([None, "cpu", "full", "x"]), st.lists(OVERRIDES, max_size=2))
def test_any_structure_is_loaded_or_refused(
    write: Write, value: dict[str, Any], profile: str | None, overrides: list[str]
) -> None:
    load_or_refuse(json.dumps({"name": "b", "segmenters": ["unet"], **value}), profile, overrides)


@FUZZ
@given(st.text(alphabet=":-[]{}&*!|>'\"%@#?,\n\t \\x0123eUab~\x85", max_size=40), st.text(max_size=30))
def test_any_text_is_loaded_or_refused(write: Write, text: str, override: str) -> None:
    load_or_refuse(SMALL + text, None, [override])

import pytest

from benchbird.leaderboard import rank
from benchbird.standings import Leaderboard
from tests.record_factory import (
    MALICIOUS_NAMES,
    make_record,
    make_segmenter,
    realistic_records,
)


@pytest.fixture(scope="session")
def board() -> Leaderboard:
    return rank(realistic_records())


def _malicious_board(name: str) -> Leaderboard:
    segmenter = make_segmenter(name, name="net", options={name: name}, pretraining=name)
    return rank(
        [
            make_record(segmenter, benchmark=name, profile=name),
            make_record(segmenter, seed=1, status="failed", reason=name, benchmark=name, profile=name),
            make_record(make_segmenter("z"), benchmark=name, profile=name),
        ]
    )


@pytest.fixture(scope="session")
def malicious_boards() -> dict[str, Leaderboard]:
    return {name: _malicious_board(name) for name in MALICIOUS_NAMES}

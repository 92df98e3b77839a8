import json
import unicodedata

from benchbird.plain_text import plain_text
from benchbird.record_json import json_value
from benchbird.records import SCHEMA_VERSION
from benchbird.reporters.json import benchbird_reporters, render
from benchbird.standings import Leaderboard


def test_the_whole_leaderboard_with_the_schema(board: Leaderboard) -> None:
    assert json.loads(render(board)) == {"schema": SCHEMA_VERSION, **json_value(board)}


def test_no_control_character_reaches_a_terminal(malicious_boards: dict[str, Leaderboard]) -> None:
    for name, board in malicious_boards.items():
        document = render(board)
        assert not any(unicodedata.category(character) in ("Cc", "Cf") for character in document if character != "\n")
        assert "\\u00" not in document
        labels = {row["label"] for row in json.loads(document)["rows"]}
        assert labels == {plain_text(name), "z"}


def test_the_plugin_offers_it() -> None:
    (spec,) = benchbird_reporters()
    assert (spec.name, spec.suffix) == ("json", ".json")

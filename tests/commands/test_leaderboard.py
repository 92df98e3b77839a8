import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchbird.cli import main
from benchbird.protocol import Protocol
from benchbird.results import ResultsStore
from tests.predictions_factory import MadeUpImages, write_study
from tests.record_factory import make_record, realistic_records

WITHOUT_PREDICTIONS = (
    "14 trials have no predictions file, so that their intervals and comparisons can't cover recordings\n"
)


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCHBIRD_CACHE", str(tmp_path / "own cache"))


@pytest.fixture
def results(tmp_path: Path) -> Path:
    store = ResultsStore(tmp_path / "results")
    for record in realistic_records():
        folder = store.trial_folder(record.benchmark, record.study, record.segmenter, record.seed)
        store.add(folder, record)
    return store.root


def _run(*arguments: str | Path) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    code = ended.value.code
    assert isinstance(code, int)
    return code


def test_markdown_is_the_default(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run("leaderboard", results) == 0
    captured = capsys.readouterr()
    assert captured.out.startswith("**birdsound**, profile cpu: 4 segmenters")
    assert captured.err == WITHOUT_PREDICTIONS


def test_every_format(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    outputs = {}
    for name in ("markdown", "latex", "csv", "json"):
        assert _run("leaderboard", results, "--format", name) == 0
        outputs[name] = capsys.readouterr().out
    assert r"\toprule" in outputs["latex"]
    assert len(list(csv.DictReader(io.StringIO(outputs["csv"])))) == 7
    assert json.loads(outputs["json"])["rows"][0]["label"] == "atrous_segnet"
    assert _run("leaderboard", results, "--json") == 0
    assert capsys.readouterr().out == outputs["json"]


def test_an_unknown_format_lists_those_there_are(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run("leaderboard", results, "--format", "html5") == 2
    assert "expected one of csv, json, latex, markdown" in capsys.readouterr().err


def test_the_output_goes_into_a_file(results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run("leaderboard", results, "-o", tmp_path / "board.md") == 0
    assert capsys.readouterr().out == ""
    assert (tmp_path / "board.md").read_text().startswith("**birdsound**")
    assert _run("leaderboard", results, "-o", tmp_path / "absent" / "board.md") == 1
    assert "could not write" in capsys.readouterr().err


def test_nothing_there_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run("leaderboard", tmp_path / "absent") == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "no such folder" in error


def test_a_torn_record_is_said_and_the_rest_is_ranked(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torn = next(results.rglob("atrous_segnet-*/seed-4/record.json"))
    torn.write_bytes(torn.read_bytes()[:500])
    assert _run("leaderboard", results) == 0
    captured = capsys.readouterr()
    assert f"left out: {torn}: not whole JSON" in captured.err
    assert "13 trials done" in captured.out


def _child(
    *arguments: str | Path, cwd: Path, code: str = "from benchbird.cli import main; main()"
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONUTF8": "1"},
    )


def test_from_a_shell_with_a_yaml_and_two_studies(results: Path, tmp_path: Path) -> None:
    older = results / "birdsound" / "older" / "x-1" / "seed-0"
    other = make_record(protocol=Protocol(), profile="full", started_at="2026-10-01T00:00:00+00:00")
    ResultsStore(results).add(older, other)
    (tmp_path / "b.yaml").write_text("name: birdsound\nsegmenters: [unet]\n")
    shown = _child("leaderboard", "b.yaml", cwd=tmp_path)
    assert (shown.returncode, shown.stdout[:13]) == (0, "**birdsound**")
    assert f"showing study {make_record().study}" in shown.stderr
    assert f"  {other.study}: 1 record" in shown.stderr
    chosen = _child("leaderboard", "b.yaml", "--digest", other.study[:6], "--json", cwd=tmp_path)
    assert json.loads(chosen.stdout)["study"] == other.study


def test_help_shows_an_example_and_loads_nothing_heavy(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom benchbird.cli import main\ntry:\n    main()\nfinally:\n"
        "    print(sorted({'torch', 'pandas', 'scipy', 'pydantic', 'tabulate'} & set(sys.modules)))"
    )
    for command in ("leaderboard", "publish"):
        shown = _child(command, "--help", cwd=tmp_path, code=code)
        assert f"Example: benchbird {command} benchmarks/birdsound.yaml" in shown.stdout
        assert shown.stdout.endswith("[]\n")


def test_reading_needs_no_torch(results: Path, tmp_path: Path) -> None:
    code = (
        "import sys\nfrom benchbird.cli import main\ntry:\n    main()\nfinally:\n"
        "    print(sorted({'torch', 'pandas', 'scipy'} & set(sys.modules)), file=sys.stderr)"
    )
    shown = _child("leaderboard", results, cwd=tmp_path, code=code.replace(", 'scipy'", ""))
    assert (shown.returncode, shown.stderr) == (0, f"{WITHOUT_PREDICTIONS}[]\n")


@pytest.fixture
def study(tmp_path: Path) -> Path:
    images = MadeUpImages(n_recordings=8, image_size=16)
    write_study(tmp_path / "study", {"unet": 0.8, "atrous": 0.5}, images=images)
    write_study(tmp_path / "study", {"threshold": 0.6}, images=images, has_last=False)
    return tmp_path / "study"


def test_what_is_remembered_needs_neither_torch_nor_scipy(study: Path, tmp_path: Path) -> None:
    code = (
        "import sys\nfrom benchbird.cli import main\ntry:\n    main()\nfinally:\n"
        "    print(sorted({'torch', 'pandas', 'scipy'} & set(sys.modules)), file=sys.stderr)"
    )
    first, second = (
        _child("leaderboard", study, "--cache", tmp_path / "cache", cwd=tmp_path, code=code) for _ in range(2)
    )
    assert (first.returncode, first.stderr) == (0, "['scipy']\n")
    assert (second.returncode, second.stderr) == (0, "[]\n")
    assert second.stdout == first.stdout


def test_another_score_ranks(study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cache = tmp_path / "cache"
    assert _run("leaderboard", study, "--metric", "boundary_iou", "--json", "--cache", cache) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["metric"] == "boundary_iou"
    assert [row["label"] for row in document["rows"]] == ["unet", "threshold", "atrous"]
    assert [row["is_above_floor"] for row in document["rows"]] == [True, None, False]
    assert _run("leaderboard", study, "--metric", "calibration_error", "--cache", cache) == 0
    assert "Lower is better" in capsys.readouterr().out
    assert _run("leaderboard", study, "--metric", "iou") == 2
    assert "benchbird: --metric 'iou': expected one of iou_pooled," in capsys.readouterr().err


def test_published_results_beside(study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run("leaderboard", study) == 0
    alone = capsys.readouterr().out
    published = Path(__file__).parents[2] / "benchmarks" / "published"
    assert _run("leaderboard", study, "--with-published", published) == 0
    beside = capsys.readouterr().out
    assert beside.startswith(alone + "\n")
    assert "this benchmark" in beside.removeprefix(alone)
    assert _run("leaderboard", study, "--json", "--with-published", published) == 2
    assert "--with-published goes with --format markdown or latex, not with json" in capsys.readouterr().err
    assert _run("leaderboard", study, "--with-published", tmp_path / "absent") == 1


def test_records_of_another_schema_are_said(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for seed, schema, said in ((0, 1, "older benchbird (schema 1, this one"), (1, 99, "newer benchbird (schema 99")):
        path = next(study.rglob(f"unet-*/seed-{seed}/record.json"))
        path.write_text(json.dumps({**json.loads(path.read_text()), "schema": schema}))
        assert _run("leaderboard", study) == 0
        err = capsys.readouterr().err
        assert f"left out: {path}: written by a" in err
        assert said in err


def test_an_altered_record_is_left_out_and_its_field_named(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = next(study.rglob("unet-*/seed-0/record.json"))
    document = json.loads(path.read_text())
    document["scores"]["test"]["iou_pooled"] = 0.99
    path.write_text(json.dumps(document))
    assert _run("leaderboard", study) == 0
    assert f"left out: {path}: scores: altered since the record was written\n" in capsys.readouterr().err

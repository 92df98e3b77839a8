"""`benchbird verify` as a person calls it: lines, exit codes, JSON, and predicting again."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from benchbird.cli import main
from benchbird.records import Fold
from benchbird.results import read_record
from tests.finished_bench import document, reseal_files, rewrite_record, trial_folder
from tests.small_bench import Bench


@pytest.fixture
def results(finished: Bench, tmp_path: Path) -> Path:
    """A copy of all finished trials."""
    return Path(shutil.copytree(finished.results, tmp_path / "results"))


def run(*arguments: str | Path) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["verify", *(str(argument) for argument in arguments)])
    assert isinstance(ended.value.code, int)
    return ended.value.code


def again(bench: Bench, results: Path, *arguments: str | Path) -> tuple[int, str, str]:
    done = bench.call("verify", str(results), "--re-evaluate", "--benchmark", "small.yaml", "--device", "cpu",
                      *map(str, arguments))  # fmt: skip
    return done.returncode, done.stdout, done.stderr


def test_a_sound_run_has_a_line_a_trial_and_a_summary(finished: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(finished.results) == 0
    captured = capsys.readouterr()
    lines = captured.out.splitlines()
    assert len(lines) == 7
    assert re.fullmatch(r"ok          small/[0-9a-f]{12}/atrous_segnet-[0-9a-f]{8}/seed-0", lines[0])
    assert lines[-1] == "6 trials: 6 ok"
    assert captured.err == ""


def test_one_trial_is_shown_by_its_own_name(finished: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(trial_folder(finished.results, "threshold", 1)) == 0
    assert capsys.readouterr().out == "ok          seed-1\n1 trial: 1 ok\n"


def test_failed_and_incomplete_trials_are_told_apart(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (trial_folder(results, "threshold", 0) / "weights.safetensors").unlink()
    assert run(results) == 1
    out = capsys.readouterr().out
    assert "incomplete  small/" in out
    assert "    weights.safetensors: files.weights.safetensors: not there, so it can't be re-evaluated\n" in out
    assert out.endswith("6 trials: 5 ok, 1 incomplete\n")
    assert run(results, "--allow-missing") == 0
    capsys.readouterr()

    record = trial_folder(results, "patterned", 1) / "record.json"
    record.write_bytes(record.read_bytes().replace(b'"status": "done"', b'"status": "gone"'))
    assert run(results, "--allow-missing") == 1
    out = capsys.readouterr().out
    assert "FAILED      small/" in out
    assert "    record.json: status: " in out
    assert out.endswith("6 trials: 4 ok, 1 incomplete, 1 failed\n")


def test_json_holds_everything(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    predictions = trial_folder(results, "patterned", 1) / "predictions.npz"
    predictions.write_bytes(predictions.read_bytes() + b"\x00")
    (trial_folder(results, "threshold", 1) / "record.json").unlink()
    assert run(results, "--json") == 1
    found = document(capsys.readouterr().out)
    assert found["results"] == str(results)
    assert found["summary"] == {"trials": 5, "ok": 4, "incomplete": 0, "failed": 1}
    assert found["unended"] == 1
    (trial,) = (trial for trial in found["trials"] if trial["status"] == "failed")
    assert (trial["label"], trial["seed"]) == ("patterned", 1)
    assert trial["findings"][0]["file"] == "predictions.npz"
    assert trial["findings"][0]["field"] == "files.predictions.npz"
    assert trial["findings"][0]["severity"] == "failed"


def test_text_from_a_file_cant_reach_the_terminal_raw(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = trial_folder(results, "threshold", 0)
    (folder / "\x1b[31mred\nok").write_text("")
    assert run(results) == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "    red ok: no file of this trial\n" in out


def test_nothing_there_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path / "absent") == 1
    assert run(tmp_path) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 2
    assert "no such folder" in error
    assert "nothing to verify" in error


def test_options_that_need_one_another(finished: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(finished.results, "--re-evaluate") == 2
    assert "--benchmark FILE" in capsys.readouterr().err
    assert run(finished.results, "--benchmark", "small.yaml", "--set", "a=1") == 2
    assert "--benchmark and --set: only with --re-evaluate" in capsys.readouterr().err


def test_verifying_needs_no_torch(finished: Bench, tmp_path: Path) -> None:
    code = (
        "import sys\nfrom benchbird.cli import main\ntry:\n    main()\nfinally:\n"
        "    print(sorted({'torch', 'pandas', 'scipy'} & set(sys.modules)), file=sys.stderr)"
    )
    shown = subprocess.run(
        [sys.executable, "-c", code, "verify", str(finished.results)], cwd=tmp_path, capture_output=True, text=True,
        timeout=120, env={**os.environ, "PYTHONUTF8": "1"}, check=False,
    )  # fmt: skip
    assert (shown.returncode, shown.stderr) == (0, "[]\n")


def test_a_fresh_run_predicts_again_identically(finished: Bench) -> None:
    code, out, err = again(finished, finished.results)
    assert code == 0, out + err
    assert out.count("    predictions.npz: predicted: re-evaluated: identical\n") == 6
    assert out.endswith("6 trials: 6 ok\n")
    assert "[1/6] atrous_segnet seed 0: predicting again\n" in err


def test_forged_weights_with_every_hash_renewed_are_found(finished: Bench, results: Path) -> None:
    folder, other = trial_folder(results, "patterned", 0), trial_folder(results, "patterned", 1)
    shutil.copy(other / "weights.safetensors", folder)
    reseal_files(folder)
    code, out, _ = again(finished, folder)
    assert code == 1
    assert re.search(r"re-evaluated: \d+ of 2048 pixels differ, in \d of 8 images; iou_pooled [+-]0", out)
    assert "; more than 0.0001" in out
    code, out, _ = again(finished, folder, "--tolerance", "1")
    assert code == 0
    assert "; within 1\n" in out


def test_without_a_curve_a_trial_predicts_again_and_without_weights_not(finished: Bench, results: Path) -> None:
    folder = trial_folder(results, "atrous_segnet", 0)
    (folder / "curve.jsonl").unlink()
    code, out, _ = again(finished, folder, "--allow-missing")
    assert (code, "re-evaluated: identical" in out) == (0, True)
    (folder / "weights.safetensors").unlink()
    code, out, _ = again(finished, folder, "--allow-missing")
    assert (code, "re-evaluated" in out.replace("can't be re-evaluated", "")) == (0, False)
    assert out.startswith("incomplete  seed-0\n")


def test_other_data_or_another_protocol_are_named_by_both_digests(finished: Bench, results: Path) -> None:
    folder = trial_folder(results, "threshold", 0)
    record = read_record(folder / "record.json")
    code, out, _ = again(finished, folder, "--set", "protocol.logit_threshold=0.5")
    assert code == 1
    said = f"record.json: protocol.digest: the record says {record.protocol['digest']}, small.yaml, profile full gives "
    assert said in out
    assert "data.digest" not in out
    code, out, _ = again(finished, folder, "--set", "data.sizes={train: 8, val: 4, test: 4}")
    assert code == 1
    assert f"record.json: data.digest: the record says {record.data.digest}, small.yaml, profile full gives " in out


def test_the_profile_is_the_records_own(finished: Bench, results: Path) -> None:
    folder = trial_folder(results, "threshold", 0)
    rewrite_record(folder, profile="gone")
    code, out, _ = again(finished, folder)
    assert code == 1
    assert "record.json: profile: the record says gone, small.yaml has none of that name" in out
    code, out, _ = again(finished, folder, "--profile", "full")
    assert code == 0, out


def test_a_fold_of_other_data_is_no_match(finished: Bench, results: Path) -> None:
    folder = trial_folder(results, "threshold", 0)
    data = read_record(folder / "record.json").data
    rewrite_record(folder, data=replace(data, fold=Fold(number=2, of=3, pool_digest="0" * 12)))
    code, out, _ = again(finished, folder, "--set", "data.folds=3")
    assert code == 1
    assert "record.json: data.digest: the record says" in out


def test_what_failed_already_is_not_predicted_again(finished: Bench, results: Path) -> None:
    folder = trial_folder(results, "threshold", 0)
    (folder / "weights.safetensors").write_bytes(b"x")
    code, out, err = again(finished, folder)
    assert code == 1
    assert err == ""
    assert "re-evaluated" not in out

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from benchbird.errors import ResultsError
from benchbird.protocol import Protocol
from benchbird.records import TrialRecord
from benchbird.results import ResultsStore
from benchbird.studies import select_study
from tests.record_factory import MALICIOUS_NAMES, make_record

OLD, NEW = "2026-11-01T10:00:00+00:00", "2026-11-20T10:00:00+00:00"
BIG = Protocol(image_size=256)


def _store(root: Path, *records: TrialRecord) -> list[Path]:
    store = ResultsStore(root)
    paths = []
    for record in records:
        folder = store.trial_folder(record.benchmark, record.study, record.segmenter, record.seed)
        paths.append(store.add(folder, record))
    return paths


@pytest.fixture
def two_studies(tmp_path: Path) -> tuple[Path, TrialRecord, TrialRecord]:
    old = make_record(protocol=BIG, profile="full", started_at=OLD)
    new = make_record(started_at=NEW)
    _store(tmp_path / "results", old, replace(old, seed=1), new)
    return tmp_path / "results", old, new


def test_every_kind_of_target(two_studies: tuple[Path, TrialRecord, TrialRecord]) -> None:
    root, old, new = two_studies
    for target in (root, root / "birdsound"):
        assert select_study(target, results=root).study.digest == new.study
    chosen = select_study(root / "birdsound" / old.study, results=root)
    assert (chosen.study.digest, len(chosen.study.records), chosen.notices) == (old.study, 2, ())
    assert select_study(root / "birdsound" / new.study, results=root).study.folder.name == new.study


def test_a_relative_target(two_studies: tuple[Path, TrialRecord, TrialRecord], monkeypatch: pytest.MonkeyPatch) -> None:
    root, old, new = two_studies
    monkeypatch.chdir(next((root / "birdsound" / old.study).glob("*/seed-1")))
    assert len(select_study(Path("."), results=Path("results")).study.records) == 1
    monkeypatch.chdir(root.parent)
    assert select_study(Path("results"), results=Path("results")).study.digest == new.study


def test_a_yaml_means_the_folder_of_its_name(
    two_studies: tuple[Path, TrialRecord, TrialRecord], tmp_path: Path
) -> None:
    root, _, new = two_studies
    yaml = tmp_path / "any.yaml"
    yaml.write_text("name: birdsound\nsegmenters: [unet]\n")
    assert select_study(yaml, results=root).study.digest == new.study
    yaml.write_text("name: other\nsegmenters: [unet]\n")
    with pytest.raises(ResultsError, match=r"other: no results of .*any\.yaml there yet"):
        select_study(yaml, results=root)


def test_the_others_are_listed_with_what_tells_them_apart(
    two_studies: tuple[Path, TrialRecord, TrialRecord],
) -> None:
    root, old, new = two_studies
    notices = "\n".join(select_study(root, results=root).notices)
    assert f"showing study {new.study}" in notices
    assert f"{old.study}: 2 records, 2026-11-01 10:00 UTC, benchmark birdsound, profile full" in notices


def test_a_digest_chooses(two_studies: tuple[Path, TrialRecord, TrialRecord]) -> None:
    root, old, new = two_studies
    assert select_study(root, results=root, digest=old.study[:5].upper()).study.digest == old.study
    with pytest.raises(ResultsError, match="fits no study") as caught:
        select_study(root, results=root, digest="zz")
    assert old.study in str(caught.value)
    assert new.study in str(caught.value)
    with pytest.raises(ResultsError, match="fits several studies"):
        select_study(root, results=root, digest="")


def test_a_finished_study_goes_before_a_newer_unfinished_one(
    two_studies: tuple[Path, TrialRecord, TrialRecord],
) -> None:
    root, old, new = two_studies
    path = next((root / "birdsound" / new.study).glob("*/seed-0"))
    path.with_name("seed-1").mkdir()
    chosen = select_study(root, results=root)
    assert chosen.study.digest == old.study
    assert "1 record, 1 not ended" in "\n".join(chosen.notices)
    alone = select_study(root / "birdsound" / new.study, results=root)
    assert alone.notices == (f"study {new.study} is unfinished: 1 trial has not ended",)


def test_one_study_in_two_folders_is_not_ambiguous(tmp_path: Path) -> None:
    record = make_record()
    _store(tmp_path, record)
    shutil.copytree(tmp_path / "birdsound", tmp_path / "copied" / "birdsound")
    chosen = select_study(tmp_path, results=tmp_path, digest=record.study)
    assert len(chosen.study.records) == 1
    assert len(chosen.notices) == 2


def test_unreadable_records_are_said_and_left_out(tmp_path: Path) -> None:
    paths = _store(tmp_path, make_record(), make_record(seed=1))
    paths[0].write_text('{"schema": 99}')
    chosen = select_study(tmp_path, results=tmp_path)
    assert len(chosen.study.records) == 1
    assert "newer benchbird" in chosen.notices[0]
    paths[1].write_text("{")
    with pytest.raises(ResultsError, match="no trial has ended here yet\nleft out"):
        select_study(tmp_path, results=tmp_path)


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match="no trial has ended"):
        select_study(tmp_path, results=tmp_path)
    with pytest.raises(ResultsError, match="no such folder"):
        select_study(tmp_path / "absent", results=tmp_path)
    (tmp_path / "birdsound").mkdir()
    with pytest.raises(ResultsError, match="did you mean"):
        select_study(Path("birdsound"), results=tmp_path)


def test_notices_carry_no_control_characters(tmp_path: Path) -> None:
    store = ResultsStore(tmp_path)
    for number, name in enumerate(MALICIOUS_NAMES):
        if name.isprintable() or "\ud800" in name:
            continue
        store.add(tmp_path / "b" / f"s{number}" / "l" / "seed-0", make_record(benchmark=name, profile=name))
    for notice in select_study(tmp_path, results=tmp_path).notices:
        assert notice.isprintable()

"""Releases in a real git repository: records, promotion, rollback, two at once, kill -9."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from s1_core.errors import UserError
from s1_serve.release import (
    create,
    gate,
    pins,
    promote,
    record,
    rollback,
    rules,
    standing,
    verdicts,
)
from s1_serve.release.config import CreateConfig, GateConfig, PromoteConfig, RollbackConfig
from s1_serve.release.record import ZERO, Release
from s1_serve.release.repository import Repository
from s1_serve.release.rules import PATH as GATES
from s1_serve.release.verdicts import Row, Verdict
from unit.serve import fake_release

ROOT = Path(__file__).resolve().parents[3]
IMAGE = "registry.example.com/s1/serve@sha256:" + "ab" * 32
AUTHOR = {
    f"GIT_{who}_{what}": value
    for who in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "A. Tester"), ("EMAIL", "tester@example.com"))
}


def git(*words: str, folder: Path) -> str:
    done = subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A repository with the shipped gates and two unpinned overlays; the current folder."""
    for name, value in AUTHOR.items():
        monkeypatch.setenv(name, value)
    git("init", "--quiet", "--initial-branch", "main", folder=tmp_path)
    (tmp_path / ".gitignore").write_text("artifacts/\n")
    for path in [GATES, *map(pins.path, pins.STAGES)]:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes((ROOT / path).read_bytes())
    git("add", ".", folder=tmp_path)
    git("commit", "--quiet", "-m", "start", folder=tmp_path)
    monkeypatch.chdir(tmp_path)
    return Repository.here()


def released(repository: Repository, digit: str, image: str = IMAGE) -> Release:
    """Commit the record of a release that is made up of one digit."""
    release = Release(
        model=digit * 64, code="c" * 40, data="d" * 64, base="b" * 64,
        checkpoint="e" * 64, step=7, report=digit * 64, gates=rules.current_sha256(repository),
        image=image,
    )  # fmt: skip
    commit(repository, {release.path: release.text})
    return release


def judged(repository, release, kind, verdict="pass", against=None):
    """Commit what the gates of a kind would have said."""
    row = Row(gate="accuracy", verdict=verdict, found="90", wanted="80")
    deployment = standing.deployment(repository, release.id) if kind == verdicts.STAGING else None
    judgement = Verdict(
        deployment=deployment,
        release=release.id,
        kind=kind,
        against=against,
        gates=release.gates,
        rows=(row,),
        report=release.report,
    )
    commit(repository, {verdicts.path(release.id, kind): judgement.text})


def commit(repository: Repository, files: dict[str, str]) -> None:
    repository.commit(files, "test\n\nRelease: x\n")


def to(repository, stage, release, *, expect=None, **options):
    config = PromoteConfig(stage=stage, release=release.id[:10], expect=expect, **options)
    promote.main(config)


def through(repository, release, production):
    """Take a release through staging into production."""
    judged(repository, release, verdicts.OFFLINE, against=production)
    to(repository, "staging", release)
    judged(repository, release, verdicts.STAGING, against=production)
    to(repository, "production", release, expect=(production or "none"))


def states(repository):
    return {one.release.model[0]: one.state for one in standing.standings(repository)}


def test_a_record_is_named_by_its_content(repository):
    release = released(repository, "1")
    assert record.find(repository, release.id[:6]) == release
    assert json.loads(release.text)["model"] == "1" * 64
    assert replace(release, step=8).id != release.id
    commit(repository, {release.path: release.text.replace('"step":7', '"step":9')})
    with pytest.raises(UserError, match="was altered"):
        record.find(repository, release.id)


@pytest.mark.parametrize("name", ["", "zz"])
def test_a_name_that_fits_none_or_several_lists_what_there_is(repository, name):
    released(repository, "1")
    with pytest.raises(UserError, match="called"):
        record.find(repository, name)


@pytest.mark.parametrize(
    "image", ["s1:latest", "s1", "s1@sha256:" + ZERO, "s1:v1@sha256:12", "s1@sha256:" + "AB" * 32]
)
def test_an_image_without_a_real_digest_is_refused(repository, image):
    with pytest.raises(UserError, match="image is"):
        released(repository, "1", image=image)


def test_the_way_to_production_and_back(repository, capfd):
    first, second = released(repository, "1"), released(repository, "2")
    assert states(repository) == {"1": "candidate", "2": "candidate"}
    through(repository, first, None)
    assert states(repository)["1"] == "production"
    judged(repository, second, verdicts.OFFLINE, against=first.id)
    to(repository, "staging", second)
    assert states(repository) == {"1": "production", "2": "staging"}
    judged(repository, second, verdicts.STAGING, against=first.id)
    to(repository, "production", second, expect=first.id)
    assert states(repository) == {"1": "superseded", "2": "production"}
    assert git("status", "--porcelain", folder=repository.root) == ""
    changed = git("show", "--stat=200", "--format=", "HEAD", folder=repository.root)
    assert "overlays/production/release.yaml | 4" in changed and "1 file changed" in changed
    rollback.main(RollbackConfig(stage="production"))
    assert states(repository) == {"1": "production", "2": "rolled-back"}
    rollback.main(RollbackConfig(stage="production"))
    assert "up to date" in capfd.readouterr().err
    assert states(repository)["1"] == "production"
    rollback.main(RollbackConfig(stage="production", to=second.id))
    assert states(repository) == {"1": "rolled-back", "2": "production"}


def test_promoting_twice_is_promoting_once(repository, capfd):
    release = released(repository, "1")
    through(repository, release, None)
    head = repository.head()
    to(repository, "production", release, expect="none")
    assert repository.head() == head and "up to date" in capfd.readouterr().err


def test_a_dry_run_shows_the_change_and_makes_none(repository, capfd):
    release = released(repository, "1")
    judged(repository, release, verdicts.OFFLINE)
    head = repository.head()
    to(repository, "staging", release, dry_run=True)
    said = capfd.readouterr()
    assert f'+  release: "{release.id}"' in said.out and "nothing was changed" in said.err
    assert repository.head() == head and states(repository) == {"1": "candidate"}


@pytest.mark.parametrize("verdict", ["fail", "inconclusive"])
@pytest.mark.parametrize("kind", ["offline", "staging"])
def test_only_a_pass_is_promoted(repository, kind, verdict):
    release = released(repository, "1")
    if kind == "staging":
        judged(repository, release, verdicts.OFFLINE)
        to(repository, "staging", release)
    judged(repository, release, kind, verdict)
    stage = {"offline": "staging", "staging": "production"}[kind]
    with pytest.raises(UserError, match=f"did not pass the {kind} gates: {verdict}, by accuracy"):
        to(repository, stage, release, expect="none")
    expected = {"fail": "rejected", "inconclusive": "candidate"}[verdict]
    assert states(repository)["1"] == (expected if kind == "offline" else "staging")


def test_what_was_not_judged_or_not_staged_is_not_promoted(repository):
    first, second = released(repository, "1"), released(repository, "2")
    with pytest.raises(UserError, match="has no offline verdict"):
        to(repository, "staging", first)
    judged(repository, first, verdicts.OFFLINE)
    to(repository, "staging", first)
    with pytest.raises(UserError, match="has no staging verdict"):
        to(repository, "production", first, expect="none")
    judged(repository, second, verdicts.OFFLINE)
    judged(repository, second, verdicts.STAGING)
    with pytest.raises(UserError, match="only what staging serves"):
        to(repository, "production", second, expect="none")


def test_a_production_that_moved_stops_a_promotion(repository):
    first, second, third = (released(repository, digit) for digit in "123")
    through(repository, first, None)
    judged(repository, third, verdicts.OFFLINE, against=first.id)
    to(repository, "staging", third)
    judged(repository, third, verdicts.STAGING, against=first.id)
    to_second = pins.of(second).text
    message = f"x\n\nRelease: {second.id}\nStage: production\nAction: promote\nFrom: {first.id}\n"
    repository.commit({pins.path("production"): to_second}, message)
    with pytest.raises(UserError, match="moved meanwhile"):
        to(repository, "production", third, expect=first.id)
    with pytest.raises(UserError, match="was judged against"):
        to(repository, "production", third, expect=second.id)


def test_gates_that_changed_after_the_report_void_its_release(repository):
    release = released(repository, "1")
    judged(repository, release, verdicts.OFFLINE)
    text = (repository.root / GATES).read_text()
    commit(repository, {GATES: text + "# stricter\n"})
    with pytest.raises(UserError, match=r"gates\.yaml"):
        to(repository, "staging", release)


def test_a_dirty_tree_and_edited_pins_are_refused(repository):
    release = released(repository, "1")
    through(repository, release, None)
    (repository.root / "note").write_text("x")
    with pytest.raises(UserError, match=r"dirty \(note\)"):
        to(repository, "staging", release)
    (repository.root / "note").unlink()
    edited = replace(pins.of(release), model="9" * 64)
    commit(repository, {pins.path("production"): edited.text})
    with pytest.raises(UserError, match="somebody edited it"):
        standing.standings(repository)
    commit(repository, {pins.path("production"): replace(edited, release=ZERO).text})
    with pytest.raises(UserError, match="called"):
        standing.standings(repository)


def test_pins_that_no_promotion_moved_are_refused(repository):
    release, other = released(repository, "1"), released(repository, "2")
    through(repository, release, None)
    commit(repository, {pins.path("production"): pins.of(other).text})
    for read in (standing.standings, lambda r: standing.serving(r, "production")):
        with pytest.raises(UserError, match="is no promotion"):
            read(repository)


def test_a_pass_is_of_one_deployment_of_staging(repository):
    """Promoted anew, or with other manifests, or rolled back meanwhile: it has to pass again."""
    first, second = released(repository, "1"), released(repository, "2")
    through(repository, first, None)
    judged(repository, second, verdicts.OFFLINE, against=first.id)
    to(repository, "staging", second)
    judged(repository, second, verdicts.STAGING, against=first.id)
    (repository.root / "infra/k8s/serving/new.yaml").write_text("x")
    git("add", ".", folder=repository.root)
    git("commit", "--quiet", "-m", "manifests", folder=repository.root)
    with pytest.raises(UserError, match=r"infra/k8s/serving changed"):
        to(repository, "production", second, expect=first.id)
    judged(repository, second, verdicts.STAGING, against=first.id)
    rollback.main(RollbackConfig(stage="staging"))
    to(repository, "staging", second)
    with pytest.raises(UserError, match="promoted to anew"):
        to(repository, "production", second, expect=first.id)
    judged(repository, second, verdicts.STAGING, against=first.id)
    to(repository, "production", second, expect=first.id)
    rollback.main(RollbackConfig(stage="production"))
    with pytest.raises(UserError, match="production rolled the release back"):
        to(repository, "production", second, expect=first.id)
    judged(repository, second, verdicts.STAGING, against=first.id)
    to(repository, "production", second, expect=first.id)


def test_without_a_branch_or_a_history_nothing_is_done(repository, tmp_path_factory, monkeypatch):
    release = released(repository, "1")
    git("checkout", "--quiet", "--detach", folder=repository.root)
    with pytest.raises(UserError, match="no branch"):
        to(repository, "staging", release)
    git("checkout", "--quiet", "main", folder=repository.root)
    shallow = tmp_path_factory.mktemp("shallow")
    words = ("clone", "--quiet", "--depth", "1", f"file://{repository.root}", str(shallow))
    git(*words, folder=shallow)
    monkeypatch.chdir(shallow)
    with pytest.raises(UserError, match="unshallow"):
        to(Repository.here(), "staging", release)


def test_a_first_release_cannot_be_rolled_back(repository):
    with pytest.raises(UserError, match="no way back"):
        rollback.main(RollbackConfig(stage="production"))
    first, second = released(repository, "1"), released(repository, "2")
    through(repository, first, None)
    with pytest.raises(UserError, match="no way back"):
        rollback.main(RollbackConfig(stage="production"))
    with pytest.raises(UserError, match="was never in production"):
        rollback.main(RollbackConfig(stage="production", to=second.id))


def test_a_branch_that_moved_refuses_a_commit(repository):
    read = repository.settled()
    commit(repository, {"infra/releases/a": "1"})
    with pytest.raises(UserError, match="the branch moved"):
        read.commit({"infra/releases/a": "2"}, "x")
    assert repository.show("infra/releases/a") == "1"


def test_a_remote_that_moved_leaves_nothing_changed(repository, tmp_path_factory):
    remote = tmp_path_factory.mktemp("remote") / "r.git"
    git("clone", "--quiet", "--bare", str(repository.root), str(remote), folder=repository.root)
    git("remote", "add", "origin", str(remote), folder=repository.root)
    other = tmp_path_factory.mktemp("other")
    git("clone", "--quiet", str(remote), str(other), folder=other)
    release = released(repository, "1")
    judged(repository, release, verdicts.OFFLINE)
    git("push", "--quiet", "origin", "main", folder=repository.root)
    to(repository, "staging", release, push="origin")
    assert git("rev-parse", "main", folder=remote).strip() == repository.head()
    (other / "x").write_text("x")
    git("pull", "--quiet", folder=other)
    git("add", ".", folder=other)
    git("commit", "--quiet", "-m", "x", folder=other)
    git("push", "--quiet", folder=other)
    judged(repository, release, verdicts.STAGING)
    head = repository.head()
    with pytest.raises(UserError, match="did not take the commit"):
        to(repository, "production", release, expect="none", push="origin")
    assert repository.head() == head and states(repository) == {"1": "staging"}


def test_a_second_command_waits_for_nobody(repository):
    release = released(repository, "1")
    with repository.locked(), pytest.raises(UserError, match="another release command"):
        to(repository, "staging", release)


def test_a_commit_that_was_killed_before_the_tree_is_finished(repository, capfd):
    release = released(repository, "1")
    through(repository, release, None)
    path = pins.path("production")
    before = replace(repository, at="HEAD^").show(path)
    # What `kill -9` between the branch and the tree leaves: both of these are of the parent.
    git("read-tree", "HEAD^", folder=repository.root)
    (repository.root / path).write_text(before)
    to(repository, "production", release, expect="none")
    assert "finishing the interrupted commit" in capfd.readouterr().err
    assert (repository.root / path).read_text() == pins.of(release).text
    assert git("status", "--porcelain", folder=repository.root) == ""


def test_kill_nine_at_any_moment_leaves_the_old_or_the_new(repository):
    release = released(repository, "1")
    judged(repository, release, verdicts.OFFLINE)
    command = [sys.executable, "-m", "s1_serve.release.promote", "staging", release.id]
    for delay in (0.3, 0.5, 0.6, 0.7, 0.8, 1.0):
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert standing.serving(repository, "staging") in (None, release.id)
    (repository.root / ".git" / "index.lock").unlink(missing_ok=True)
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert standing.serving(repository, "staging") == release.id
    assert git("status", "--porcelain", folder=repository.root) == ""


@pytest.fixture
def made(repository, tmp_path_factory):
    """A model and a report that pass made-up rules, which the repository has."""
    commit(repository, {GATES: fake_release.RULES})
    folder = tmp_path_factory.mktemp("made")
    fake_release.Maker(folder).evidence()
    return folder


def create_of(folder: Path, **options) -> None:
    create.main(
        CreateConfig(
            model=str(folder / "model"), report=str(folder / "report"), image=IMAGE, **options
        )
    )


def test_creating_and_gating_twice_is_once(repository, made, capfd):
    create_of(made, dry_run=True)
    assert record.names(repository) == []
    create_of(made)
    create_of(made)
    said = capfd.readouterr()
    (name,) = {*said.out.split()}
    assert "next: just gate" in said.err and "up to date" in said.err
    gate.main(GateConfig(release=name))
    head = repository.head()
    gate.main(GateConfig(release=name[:8]))
    assert repository.head() == head and "next: just promote staging" in capfd.readouterr().err
    to(repository, "staging", record.find(repository, name))
    with pytest.raises(UserError, match="nothing was recorded"):
        gate.main(GateConfig(release=name, endpoint="http://127.0.0.1:9"))
    assert states(repository)[record.find(repository, name).model[0]] == "staging"


def test_an_image_of_other_code_makes_no_release(repository, made):
    images = repository.root / "artifacts/images"
    images.mkdir(parents=True)
    said = {"digest": IMAGE.partition("@")[2], "code": repository.head()}
    (images / "s1-1.json").write_text(json.dumps(said))
    create_of(made, dry_run=True)
    commit(repository, {"packages/serve/src/s1_serve/new.py": "x\n"})
    with pytest.raises(UserError, match=r"new\.py has changed since"):
        create_of(made)


def test_rules_that_are_written_after_the_report_make_no_release(repository, made):
    commit(repository, {GATES: fake_release.RULES.replace("floor: 30.0", "floor: 20.0")})
    with pytest.raises(UserError, match="was made for another"):
        create_of(made)


def test_a_store_whose_link_leads_elsewhere_judges_nothing_and_is_mended(repository, made, capfd):
    create_of(made)
    name = capfd.readouterr().out.strip()
    copy = made.parent / f"{made.name}-kept"
    shutil.copytree(made, copy)
    shutil.rmtree(made / "model")
    fake_release.Maker(made, weights="of another export").evidence()
    head = repository.head()
    with pytest.raises(UserError, match="not the model of that hash"):
        gate.main(GateConfig(release=name))
    assert repository.head() == head
    create_of(copy)
    assert capfd.readouterr().out.strip() == name
    gate.main(GateConfig(release=name))


def test_outside_of_a_repository_it_is_one_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="no git repository"):
        Repository.here()

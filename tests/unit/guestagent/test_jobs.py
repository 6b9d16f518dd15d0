"""Jobs: named, idempotent, on disk, taken up again."""

import json
import threading
from collections.abc import Mapping

import pytest
from tests.support.guests import wait_for

from trove.core.errors import GuestError, InvalidInput
from trove.core.json import JSON
from trove.guestagent.host import SandboxedHost
from trove.guestagent.jobs import DONE, FAILED, KEPT, MAX_ATTEMPTS, RUNNING, Jobs, Progress, Work


class Works:
    """Kinds of jobs that count how often they ran."""

    def __init__(self) -> None:
        self.ran: list[Mapping[str, JSON]] = []
        self.gate = threading.Event()
        self.gate.set()

    def kinds(self) -> Mapping[str, Work]:
        return {"good": self.good, "bad": self.bad, "broken": self.broken}

    def good(self, args: Mapping[str, JSON], progress: Progress) -> Mapping[str, JSON]:
        self.ran.append(args)
        progress("half", 50)
        assert self.gate.wait(30)
        return {"answer": 42}

    def bad(self, args: Mapping[str, JSON], progress: Progress) -> Mapping[str, JSON]:
        progress("quarter", 25)
        raise GuestError("The disk is on fire.")

    def broken(self, args: Mapping[str, JSON], progress: Progress) -> Mapping[str, JSON]:
        raise RuntimeError("secret detail")


@pytest.fixture
def works() -> Works:
    return Works()


@pytest.fixture
def jobs(host: SandboxedHost, works: Works) -> Jobs:
    return Jobs(host, works.kinds(), changed=lambda: None)


def state(jobs: Jobs, name: str) -> str | None:
    return next((job.state for job in jobs.all() if job.name == name), None)


def finish(jobs: Jobs, name: str) -> None:
    wait_for(lambda: state(jobs, name) not in {RUNNING, None}, name)


def test_a_job_runs_once_and_keeps_no_arguments(jobs: Jobs, works: Works, host: SandboxedHost) -> None:
    for _ in range(3):
        jobs.start("one", "good", {"password": "s3cret"}, request_id="req-1")
        finish(jobs, "one")
    assert works.ran == [{"password": "s3cret"}]
    job = jobs.all()[0]
    assert (job.state, job.percent, job.result, job.error) == (DONE, 100, {"answer": 42}, None)
    path = host.private_dir / "jobs/one.json"
    assert "s3cret" not in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600
    assert "s3cret" not in repr(job)


def test_progress_is_told(jobs: Jobs, works: Works) -> None:
    works.gate.clear()
    jobs.start("one", "good", {})
    wait_for(lambda: jobs.all()[0].percent == 50, "progress")
    assert jobs.running_kinds() == {"good"}
    jobs.start("one", "good", {})
    jobs.forget(["one"])
    assert state(jobs, "one") == RUNNING
    works.gate.set()
    finish(jobs, "one")
    assert len(works.ran) == 1


def test_failures_are_told_without_the_text_of_bugs(jobs: Jobs) -> None:
    jobs.start("bad", "bad", {})
    jobs.start("broken", "broken", {})
    finish(jobs, "broken")
    bad, broken = jobs.all()
    assert (bad.state, bad.error, bad.percent) == (FAILED, "The disk is on fire.", 25)
    assert broken.state == FAILED
    assert broken.error is not None
    assert "secret detail" not in broken.error


def test_a_failed_job_is_tried_anew(jobs: Jobs, works: Works) -> None:
    jobs.start("one", "bad", {})
    finish(jobs, "one")
    jobs.start("one", "good", {})
    wait_for(lambda: state(jobs, "one") == DONE, "the second try")


def test_a_cancelled_job_stops_at_its_next_word_and_is_not_tried_anew(host: SandboxedHost) -> None:
    told, go_on = threading.Event(), threading.Event()

    def slow(_args: Mapping[str, JSON], progress: Progress) -> Mapping[str, JSON]:
        progress("begun", 1)
        told.set()
        assert go_on.wait(30)
        progress("half done", 50)
        raise AssertionError("it went on")

    jobs = Jobs(host, {"slow": slow}, changed=lambda: None)
    jobs.start("a", "slow", {"password": "s"})
    assert told.wait(30)
    assert not jobs.cancel("a")
    go_on.set()
    wait_for(lambda: jobs.cancel("a"), "the end of the job")
    for late in ("a", "b"):
        assert jobs.cancel(late)
        jobs.start(late, "slow", {})
    again = Jobs(host, {"slow": slow}, changed=lambda: None)
    again.resume()
    for one in (jobs, again):
        assert {(job.name, job.state, job.error) for job in one.all()} == {(each, "FAILED", "Cancelled.") for each in "ab"}
        assert all(job.args == {} for job in one.all())
    with pytest.raises(InvalidInput):
        jobs.cancel("../x")


def test_what_was_cut_off_is_done_after_a_restart_in_order(host: SandboxedHost, works: Works, jobs: Jobs) -> None:
    works.gate.clear()
    jobs.start("b-first", "good", {"n": 1})
    jobs.start("a-second", "good", {"n": 2})
    wait_for(lambda: works.ran, "the first to run")
    later = Works()
    again = Jobs(host, later.kinds(), changed=lambda: None)
    again.resume()
    finish(again, "a-second")
    assert later.ran == [{"n": 1}, {"n": 2}]
    works.gate.set()
    finish(jobs, "a-second")


def test_a_job_that_kills_the_agent_again_and_again_is_given_up(host: SandboxedHost, works: Works, jobs: Jobs) -> None:
    jobs.start("one", "good", {})
    finish(jobs, "one")
    path = host.private_dir / "jobs/one.json"
    stored = json.loads(path.read_text())
    path.write_text(json.dumps({**stored, "state": RUNNING, "attempts": MAX_ATTEMPTS}))
    again = Jobs(host, works.kinds(), changed=lambda: None)
    again.resume()
    finish(again, "one")
    assert again.all()[0].state == FAILED
    assert len(works.ran) == 1


def test_forgotten_jobs_are_gone_also_after_a_restart(host: SandboxedHost, jobs: Jobs, works: Works) -> None:
    jobs.start("one", "good", {})
    finish(jobs, "one")
    for _ in range(2):
        jobs.forget(["one", "unknown"])
    again = Jobs(host, works.kinds(), changed=lambda: None)
    again.resume()
    assert again.all() == ()


def test_finished_jobs_do_not_pile_up(jobs: Jobs) -> None:
    for number in range(KEPT + 5):
        jobs.start(f"n{number}", "good", {})
    finish(jobs, f"n{KEPT + 4}")
    assert len(jobs.all()) == KEPT
    assert state(jobs, "n0") is None


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".hidden", "x" * 129, "a b"])
def test_names_that_are_no_file_names_are_refused(jobs: Jobs, name: str) -> None:
    with pytest.raises(InvalidInput, match="name of a job"):
        jobs.start(name, "good", {})


def test_unknown_kinds_are_refused(jobs: Jobs) -> None:
    with pytest.raises(InvalidInput, match="no job of kind"):
        jobs.start("one", "format", {})


def test_a_file_that_is_no_job_is_left_alone(host: SandboxedHost, jobs: Jobs) -> None:
    (host.private_dir / "jobs/odd.json").write_text("{")
    jobs.resume()
    assert jobs.all() == ()

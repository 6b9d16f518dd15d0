"""Where `contrib/image/build` gets Debian's packages from, and that it starts with nothing but Python's own library."""

import subprocess
import sys
from pathlib import Path

import pytest
from contrib.image.imaging import elements
from contrib.image.imaging.problems import BuildError

from trove.core.errors import CloudError

BUILD = Path(__file__).parents[3] / "contrib/image/build"


def test_it_needs_no_package_to_say_how_it_is_used() -> None:
    done = subprocess.run([sys.executable, "-I", "-S", str(BUILD), "--help"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "--mirror URL" in done.stdout


def test_mirrors_are_those_named_or_else_the_machines_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(elements, "own_mirrors", lambda _: ("http://own.test/debian", "http://own.test/security"))
    assert elements.mirrors_of(None, None) == elements.Mirrors(
        debian="http://own.test/debian", security="http://own.test/security"
    )
    assert elements.mirrors_of(None, "http://other.test/s").security == "http://other.test/s"
    assert elements.mirrors_of("http://other.test/debian", None) == elements.Mirrors(
        debian="http://other.test/debian", security=None
    )


def test_a_machine_without_mirrors_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(_: str) -> tuple[str, str | None]:
        raise CloudError("no mirror of Debian; name one with --mirror URL.")

    monkeypatch.setattr(elements, "own_mirrors", none)
    with pytest.raises(BuildError, match="--mirror URL"):
        elements.mirrors_of(None, None)

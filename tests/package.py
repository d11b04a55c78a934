"""Build the package, check it, and run the tests with it as others will install it.

    python3 run.py package
    python3 run.py package --tag v1.2.0
    python3 run.py package -- tests/test_docs.py tests/openai

The source distribution and the wheel stay in `dist`. Each is installed into an environment of its
own, and tested in a folder with all that the source distribution holds except the package itself:
what the tests import is what was installed.
"""

from __future__ import annotations

import argparse
import os
import re
import runpy
import shutil
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DIST = ROOT / "dist"
ENVIRONMENTS = ROOT / ".venvs"
BIN = "Scripts" if os.name == "nt" else "bin"

#: What the tests of `python3 run.py test` need.
EXTRAS = "otlp,openai,orq,viewer"
#: Tests that have environments of their own.
APART = runpy.run_path(str(ROOT / "run.py"))["APART"]

#: What pyroma may miss, by the first words of its line: the project has no public home yet.
HOMELESS = ("Your package does not have author-email", "Your package should have a 'url' field")


def run(*command: str | Path, cwd: Path = ROOT) -> None:
    """Run a command. What it prints is shown."""
    subprocess.run(command, cwd=cwd, check=True)


def build() -> tuple[Path, Path]:
    """Build the source distribution, and the wheel from it. Returns both."""
    shutil.rmtree(DIST, ignore_errors=True)
    run(sys.executable, "-m", "build", "--outdir", DIST)
    (source,) = DIST.glob("*.tar.gz")
    (wheel,) = DIST.glob("*.whl")
    return source, wheel


def check(source: Path, wheel: Path) -> list[str]:
    """Check what was built. Returns what is wrong with the metadata."""
    tools = Path(sys.executable).parent
    run(tools / "twine", "check", "--strict", source, wheel)
    run(tools / "check-wheel-contents", wheel)
    rated = subprocess.run(
        [tools / "pyroma", source], capture_output=True, text=True, check=False
    ).stdout
    print(rated)
    remarks = rated.partition("Found orq-otel\n")[2].partition("Final rating")[0].splitlines()
    return [line for line in remarks if line.strip("- ") and not line.startswith(HOMELESS)]


def unpack(source: Path, folder: Path) -> Path:
    """Unpack the source distribution. Returns its folder, from which the package is taken away."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.unpack_archive(source, folder)
    (unpacked,) = folder.iterdir()
    shutil.rmtree(unpacked / "src")
    return unpacked


def test(built: Path, source: Path, arguments: list[str]) -> None:
    """Install what was built into a fresh environment, and run the tests with it."""
    name = "wheel" if built.suffix == ".whl" else "sdist"
    environment = ENVIRONMENTS / f"package-{name}"
    folder = unpack(source, ENVIRONMENTS / f"package-{name}-tests")
    venv.create(environment, with_pip=True, clear=True)
    python = environment / BIN / "python"
    run(python, "-m", "pip", "install", "--quiet", "pip>=25.1")
    group = f"{folder / 'pyproject.toml'}:test"
    run(python, "-m", "pip", "install", "--quiet", f"{built}[{EXTRAS}]", "--group", group)
    print(f"==== {name} ====", flush=True)
    run(python, "-m", "pytest", *arguments, cwd=folder)


def against_release(tag: str, version: str, changes: str) -> list[str]:
    """What keeps a tag from releasing this version."""
    wrong = []
    if tag != f"v{version}":
        wrong.append(f"The tag is {tag}, and the version {version}.")
    if not re.search(rf"^## {re.escape(version)} \(\d{{4}}-\d\d-\d\d\)$", changes, re.MULTILINE):
        wrong.append(f"CHANGELOG.md has no heading with a date, such as: ## {version} (2026-12-01)")
    return wrong


def main() -> int:
    """Build, check and test. Returns how many things are wrong."""
    parser = argparse.ArgumentParser(
        prog="run.py package", description="Build and try the package."
    )
    parser.add_argument("--tag", help="the release's tag, which has to be its version")
    parser.add_argument("tests", nargs="*", help="arguments for pytest, instead of all the tests")
    options = parser.parse_args()
    arguments = options.tests or ["-n", "auto", *(f"--ignore=tests/{one}" for one in APART)]

    source, wheel = build()
    wrong = check(source, wheel)
    version = source.name.removeprefix("orq_otel-").removesuffix(".tar.gz")
    if options.tag:
        changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
        wrong += against_release(options.tag, version, changes)
    print(*wrong, sep="\n")
    if not wrong:
        for built in (wheel, source):
            test(built, source, arguments)
    return len(wrong)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except subprocess.CalledProcessError as error:
        sys.exit(f"failed: {error}")

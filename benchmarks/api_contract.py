"""Does the site do what its description says? Schemathesis asks, all checks, stateful.

python -m benchmarks.api_contract          on servers, a site and a worker of its own

Ends with 1 if an answer was a 5xx or not as described, or if fewer than 2,000 were had.
"""

from __future__ import annotations

import argparse
import sys
import time

from benchmarks.import_duration import quiet

FEWEST = 2_000


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.api_contract")
    parser.add_argument("--examples", type=int, default=120, help="of each call and phase (120)")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    began = time.monotonic()
    findings = fuzz_a_site_of_its_own(arguments.examples, arguments.seed)
    print(findings.report)
    print(f"{findings.examples:,} examples in {time.monotonic() - began:.0f} s")
    return 0 if findings.is_clean and findings.examples >= FEWEST else 1


def fuzz_a_site_of_its_own(examples: int, seed: int):
    from benchmarks.stream_subscribers import django_on
    from devserver.servers import temporary_servers

    with temporary_servers() as urls, django_on(urls):
        from django.contrib.auth import get_user_model

        from tests.contract.fuzzing import ENVIRONMENT, fuzz
        from tests.processes import worker
        from tests.streams import running_daphne

        user = get_user_model().objects.create_superuser("contract")
        with quiet(worker(waits={})), running_daphne(**ENVIRONMENT) as server:
            return fuzz(f"http://127.0.0.1:{server.port}", user, examples=examples, seed=seed)


if __name__ == "__main__":
    sys.exit(main())

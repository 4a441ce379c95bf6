"""Run PostgreSQL, Redis, the web server and a worker on a machine that has only Python.

`make run` and `make demo` start them with `supervisor`. The tests start a temporary PostgreSQL and
a temporary Redis with `servers`.

* `paths`: the folders of the servers, and the account that runs them.
* `processes`: start, watch and stop one child process.
* `signals`: stop requests by signals.
* `orphans`: stop what a killed supervisor left running.
* `binaries`: find or install the programs of PostgreSQL and Redis.
* `postgres`, `redis`, `servers`: start the two servers.
* `bootstrap`, `demo`, `progress_bar`: what the supervisor runs as separate processes.
"""

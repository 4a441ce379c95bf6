"""PostgreSQL, Redis, a web server and a worker for a machine that has only Python.

`supervisor` is the story; `home` says where things lie, `processes` how a child is started,
watched and stopped, `signals` how one asks for the stop, `leftovers` what a killed supervisor may
have left behind.
"""

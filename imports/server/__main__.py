"""Start the web server: `python -m imports.server [options of Daphne] project.asgi:application`."""

from __future__ import annotations

from imports.server.web_server import WebServerCommand

if __name__ == "__main__":
    WebServerCommand.entrypoint()

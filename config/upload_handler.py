"""Store the files of a request, unless its user is anonymous.

The check of the CSRF token parses every form that is sent to a page, before a view checks the user.
Without this module, anonymous users could store files on the disk by sending them to the log-in
page.
"""

from __future__ import annotations

from typing import Any

from django.core.files.uploadhandler import SkipFile, TemporaryFileUploadHandler


class UserUploadHandler(TemporaryFileUploadHandler):
    """Store each file in a temporary file. For an anonymous user, skip it and parse the rest.

    The user is that of the session or, in the REST API, that of the token, which REST framework
    checks before it parses the body.
    """

    def new_file(self, *args: Any, **kwargs: Any) -> None:
        user = getattr(self.request, "user", None)
        if user is None or not user.is_authenticated:
            raise SkipFile
        super().new_file(*args, **kwargs)

"""Content-Security-Policy of every response, in the format of django-csp.

Pages load files of this site only, and contain no inline scripts or styles. A view that needs
more extends the policy with `csp.decorators.csp_update`.
"""

from csp.constants import NONE, SELF

CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF, "data:"],  # The admin's style sheets contain images as data: URLs.
        "connect-src": [SELF],
        "form-action": [SELF],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
    }
}

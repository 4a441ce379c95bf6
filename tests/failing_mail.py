"""A mail backend that fails, and quotes the receiver in its error."""

from smtplib import SMTPException

from django.core.mail.backends.base import BaseEmailBackend


class Backend(BaseEmailBackend):
    def send_messages(self, messages):
        raise SMTPException(f"no such user: {messages[0].to}")

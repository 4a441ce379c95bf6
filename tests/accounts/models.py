"""A user model that differs from Django's: a UUID key, no user name, and a computed `is_active`."""

import uuid

from django.contrib.auth.models import AbstractBaseUser, BaseUserManager, PermissionsMixin
from django.db import models
from django.utils import timezone


class AccountManager(BaseUserManager):
    def create_user(self, email, password=None, *, is_active=True, **fields):
        account = self.model(email=email, **fields)
        account.is_active = is_active
        account.set_password(password)
        account.save(using=self._db)
        return account

    def create_superuser(self, email, password=None, **fields):
        return self.create_user(email, password, is_staff=True, is_superuser=True, **fields)


class Account(AbstractBaseUser, PermissionsMixin):
    uid = models.UUIDField(primary_key=True, default=uuid.uuid4)
    email = models.EmailField("e-mail address", unique=True)
    is_staff = models.BooleanField(default=False)
    closed_at = models.DateTimeField(null=True)

    objects = AccountManager()

    USERNAME_FIELD = "email"

    @property
    def is_active(self):
        return self.closed_at is None

    @is_active.setter
    def is_active(self, value):
        self.closed_at = None if value else timezone.now()

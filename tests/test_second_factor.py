"""The second factor of staff, with ADMIN_SECOND_FACTOR."""

import http.client
import re
import time
from base64 import b32decode
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from io import StringIO
from threading import Barrier
from urllib.parse import urlencode

import pytest
from axes.models import AccessAttempt
from django.core.management import CommandError, call_command
from django.db import connections
from django.test import Client
from django_otp.oath import TOTP
from django_otp.plugins.otp_static.models import StaticDevice, StaticToken
from django_otp.plugins.otp_totp.models import TOTPDevice

from config.second_factor import confirm_app, prepare_app
from tests.conftest import create_user
from tests.streams import running_daphne

PASSWORD = "a-good-password"
PAGE, ADMIN, SETUP, TOKENS = (
    "/accounts/login/",
    "/admin/",
    "/accounts/second-factor/",
    "/api/auth/token/",
)

NO_DEVICE = "This code does not belong to your account."

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _second_factor(settings):
    settings.ADMIN_SECOND_FACTOR = True
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


def create_person(name, **fields):
    user = create_user(name, "view_importjob", "add_importjob", **fields)
    user.set_password(PASSWORD)
    user.save()
    return user


@pytest.fixture
def anna():
    """A member of staff without a device."""
    return create_person("anna", is_staff=True)


@pytest.fixture
def app(anna):
    """The authenticator app of Anna."""
    return TOTPDevice.objects.create(user=anna, name="app")


def make_code(key, steps=0):
    """Return the code that an authenticator app shows, or will show some steps of 30 s later."""
    totp = TOTP(key)
    totp.time = time.time() + 30 * steps
    return f"{totp.token():06}"


def make_wrong_code(*apps):
    """Return a code that the apps show neither now nor soon."""
    codes = set().union(*map(list_codes, apps))
    return next(f"{n:06}" for n in range(20) if f"{n:06}" not in codes)


def list_codes(app):
    return {make_code(app.bin_key, steps) for steps in range(-2, 5)}


def list_valid_codes(app):
    return {make_code(app.bin_key, steps) for steps in (0, 1)}


def end_delays():
    TOTPDevice.objects.update(throttling_failure_timestamp=None)
    StaticDevice.objects.update(throttling_failure_timestamp=None)


def reset(name="anna"):
    output = StringIO()
    call_command("reset_second_factor", name, stdout=output)
    return output.getvalue().splitlines()[0]


def log_in(code="", name="anna", password=PASSWORD, client=None):
    client = client or Client()
    fields = {"username": name, "password": password, "otp_token": code}
    client.last = client.post(PAGE, fields)
    return client


def has_session(client):
    return "_auth_user_id" in client.session


def opens_admin(client):
    return client.get(ADMIN).status_code == 200


# --- Log-ins -----------------------------------------------------------------


def test_a_code_of_the_app_opens_the_admin(app):
    code = make_code(app.bin_key)

    client = log_in(f"{code[:3]} {code[3:]}")

    assert client.last.status_code == 302
    assert opens_admin(client)


def test_staff_cannot_log_in_with_the_password_alone(app):
    for code in ("", make_wrong_code(app), "abcdefgh", "\0", "1" * 5000):
        client = log_in(code)

        assert client.last.status_code == 200
        assert not has_session(client)
        assert PASSWORD not in client.last.content.decode()
    assert NO_DEVICE in log_in("abcdefgh").last.content.decode()
    assert "Enter the code and the password." in log_in("").last.content.decode()


def test_a_superuser_without_staff_status_needs_a_code_too():
    create_person("root", is_superuser=True)

    assert not has_session(log_in(name="root"))


def test_a_code_without_the_password_is_refused_and_stays_valid(app):
    code = make_code(app.bin_key)

    assert not has_session(log_in(code, password="wrong"))
    assert has_session(log_in(code))


def test_a_code_is_valid_once(app):
    code = make_code(app.bin_key)
    assert has_session(log_in(code))

    again = log_in(code)

    assert not has_session(again)
    assert "was used before" in again.last.content.decode()


def test_a_code_of_another_user_is_refused(app):
    ben = create_person("ben", is_staff=True)
    other = TOTPDevice.objects.create(user=ben, name="app")
    codes = list_codes(app)
    code = next(code for code in sorted(list_valid_codes(other)) if code not in codes)

    assert not has_session(log_in(code))
    assert has_session(log_in(code, name="ben"))


def test_wrong_codes_delay_the_next_one_and_count_as_failed_logins(app):
    wrong = make_wrong_code(app)
    log_in(wrong)

    delayed = log_in(make_code(app.bin_key))

    assert "Wait 1 second, then enter a code again." in delayed.last.content.decode()
    assert AccessAttempt.objects.get().failures_since_start == 1
    for _ in range(4):
        end_delays()
        last = log_in(wrong).last
    assert last.status_code == 429
    end_delays()
    assert log_in(make_code(app.bin_key)).last.status_code == 429


def test_other_users_log_in_with_the_password_and_have_no_admin():
    create_person("carl")

    client = log_in(name="carl")

    assert client.get("/").status_code == 200
    assert client.get(ADMIN, follow=True).status_code == 403
    assert client.get(SETUP).status_code == 404
    assert "Second factor" not in client.get("/").content.decode()


def test_each_confirmed_app_of_a_user_opens_the_admin(app):
    newer = TOTPDevice.objects.create(user=app.user, name="newer")
    codes = [make_own_code(app, newer), make_own_code(newer, app)]

    assert [opens_admin(log_in(code)) for code in codes] == [True, True]
    assert [device.throttling_failure_count for device in TOTPDevice.objects.all()] == [0, 0]


def test_each_set_of_backup_codes_of_a_user_opens_the_admin(anna):
    for token in ("abcdefgh", "hgfedcba", "qrstuvwx"):
        StaticDevice.objects.create(user=anna, name=token).token_set.create(token=token)

    assert opens_admin(log_in("abcdefgh"))
    assert opens_admin(log_in("qrstuvwx"))
    assert not has_session(log_in("abcdefgh"))
    counts = StaticDevice.objects.order_by("pk").values_list("throttling_failure_count", flat=True)
    assert [*counts] == [1, 1, 1]


def test_a_delayed_app_does_not_delay_another_app(app):
    newer = TOTPDevice.objects.create(user=app.user, name="newer")
    log_in(make_wrong_code(app, newer))
    TOTPDevice.objects.filter(pk=newer.pk).update(throttling_failure_timestamp=None)

    delayed = log_in(make_own_code(app, newer))

    assert not has_session(delayed)
    assert TOTPDevice.objects.get(pk=app.pk).throttling_failure_count == 1
    assert TOTPDevice.objects.get(pk=newer.pk).throttling_failure_count == 2
    TOTPDevice.objects.filter(pk=newer.pk).update(throttling_failure_timestamp=None)
    assert has_session(log_in(make_own_code(newer, app)))


def make_own_code(app, other):
    """Return a code that the one app accepts now, and the other does not."""
    return min(list_valid_codes(app) - list_codes(other))


# --- Sessions, the log-in of the admin, tokens -------------------------------


def test_a_session_without_a_code_opens_no_admin_and_leads_to_the_log_in(app):
    client = Client()
    client.force_login(app.user)

    page = client.get("/admin/imports/importjob/?q=x", follow=True)

    assert page.redirect_chain[-1][0] == "/accounts/login/?next=/admin/imports/importjob/%3Fq%3Dx"
    assert page.status_code == 200
    assert opens_admin(log_in(make_code(app.bin_key), client=client))


def test_the_log_in_of_the_admin_takes_no_password(app):
    client = Client()

    response = client.post("/admin/login/", {"username": "anna", "password": PASSWORD})

    assert response.status_code == 302
    assert not has_session(client)


def test_a_session_loses_the_admin_with_its_device(app):
    client = log_in(make_code(app.bin_key))
    assert opens_admin(client)

    reset()

    assert not opens_admin(client)


def test_staff_get_no_tokens_and_other_users_do(app):
    create_person("carl")

    codes = [
        Client().post(TOKENS, {"username": name, "password": PASSWORD}).status_code
        for name in ("anna", "carl")
    ]

    assert codes == [401, 200]


def test_without_the_setting_the_password_is_enough(app, settings):
    settings.ADMIN_SECOND_FACTOR = False
    client = Client()

    client.post("/admin/login/", {"username": "anna", "password": PASSWORD})

    assert opens_admin(client)
    assert Client().post(TOKENS, {"username": "anna", "password": PASSWORD}).status_code == 200
    assert client.get(SETUP).status_code == 404
    assert "otp_token" not in Client().get(PAGE).content.decode()


# --- Set-up and loss of a device ---------------------------------------------


def test_a_new_member_of_staff_sets_up_an_app(anna):
    client = log_in(reset())

    page = client.get(SETUP)
    key = re.search(r"<code>([A-Z2-7]+)</code>", page.content.decode())[1]
    done = client.post(SETUP, {"otp_token": make_code(b32decode(key))})

    assert "<svg" in page.content.decode()
    assert "style=" not in page.content.decode()
    assert "no-store" in page["Cache-Control"]
    assert "unsafe" not in page["Content-Security-Policy"]
    backup_codes = re.findall(r"<li><code>(\w+)</code></li>", done.content.decode())
    assert len(set(backup_codes)) == 10
    assert opens_admin(client)
    assert not has_session(log_in(make_code(b32decode(key))))  # Used for the set-up.
    end_delays()
    assert opens_admin(log_in(make_code(b32decode(key), 1)))
    assert opens_admin(log_in(backup_codes[3].upper()))
    used = log_in(backup_codes[3])
    assert not has_session(used)
    assert "This backup code is not valid, or was used before." in used.last.content.decode()
    assert "Wait" not in used.last.content.decode()


def test_a_log_in_without_an_app_leads_to_its_set_up(anna):
    client = Client()
    client.last = client.post(
        f"{PAGE}?next=/admin/", {"username": "anna", "password": PASSWORD, "otp_token": reset()}
    )

    assert client.last["Location"] == SETUP
    app = TOTPDevice.objects.create(user=anna, name="app")
    assert log_in(make_code(app.bin_key)).last["Location"] == "/"


def test_the_command_says_what_to_do_with_the_code(anna, settings):
    output = StringIO()

    call_command("reset_second_factor", "anna", stdout=output)

    code, log_in_line, set_up_line = output.getvalue().splitlines()
    assert code == StaticToken.objects.get().token
    assert f"Log in at {PAGE} with your name, your password and this code." in log_in_line
    assert "scan the QR code" in set_up_line
    settings.ADMIN_SECOND_FACTOR = False
    call_command("reset_second_factor", "anna", stdout=output)
    assert output.getvalue().endswith("as soon as ADMIN_SECOND_FACTOR is on.\n")


def test_a_wrong_first_code_says_how_long_to_wait(anna):
    client = log_in(reset())
    client.get(SETUP)
    app = TOTPDevice.objects.get()
    wrong = make_wrong_code(app)

    backup = client.post(SETUP, {"otp_token": "abcdefgh"})
    refused = client.post(SETUP, {"otp_token": wrong})
    TOTPDevice.objects.update(throttling_failure_count=6)
    delayed = client.post(SETUP, {"otp_token": make_code(app.bin_key)})

    assert "Enter the six digits that the app shows." in backup.content.decode()
    assert "This code is not valid" in refused.content.decode()
    assert re.search(r"Wait (3[012]|2\d) seconds, then", delayed.content.decode())
    assert "not valid" not in delayed.content.decode()
    end_delays()
    assert (
        "Backup codes" in client.post(SETUP, {"otp_token": make_code(app.bin_key)}).content.decode()
    )


@pytest.mark.django_db(transaction=True)
def test_a_user_has_one_app_that_is_not_confirmed(anna):
    earlier = TOTPDevice.objects.create(user=anna, name="by hand", confirmed=False)
    start = Barrier(8)

    def prepare(_number):
        start.wait()
        try:
            return prepare_app(anna).pk
        finally:
            connections.close_all()

    with ThreadPoolExecutor(8) as threads:
        prepared = set(threads.map(prepare, range(8)))

    app = TOTPDevice.objects.get()
    assert prepared == {app.pk} != {earlier.pk}
    assert app.name == "authenticator app (set-up not finished)"
    confirm_app(app)
    assert TOTPDevice.objects.get().name == "authenticator app"


def test_a_password_alone_sets_up_no_app(anna):
    client = Client()
    client.force_login(anna)

    response = client.post(SETUP, {"otp_token": "123456"})

    assert response["Location"] == f"{PAGE}?next={SETUP}"
    assert not TOTPDevice.objects.exists()


def test_an_app_that_is_not_confirmed_opens_nothing(anna):
    client = log_in(reset())
    client.get(SETUP)
    app = TOTPDevice.objects.get()

    assert not has_session(log_in(make_code(app.bin_key)))


def test_a_new_app_ends_the_earlier_one_and_its_backup_codes(app):
    client = log_in(make_code(app.bin_key))
    other = log_in(reset())
    other.get(SETUP)
    new = TOTPDevice.objects.get(confirmed=False)

    other.post(SETUP, {"otp_token": make_code(new.bin_key)})

    assert TOTPDevice.objects.get() == new
    assert StaticToken.objects.count() == 10
    assert StaticDevice.objects.count() == 1
    assert not opens_admin(client)
    assert opens_admin(other)


def test_the_command_gives_a_code_that_is_valid_once_in_place_of_a_lost_device(app):
    lost = make_code(app.bin_key)
    code = reset()

    assert not has_session(log_in(lost))
    client = log_in(code)
    assert client.get(SETUP).status_code == 200
    assert not has_session(log_in(code))


def test_the_command_refuses_an_unknown_name():
    with pytest.raises(CommandError, match="There is no user 'nobody'"):
        reset("nobody")


def test_the_admin_shows_no_key_and_no_backup_code(app):
    create_person("root", is_superuser=True, is_staff=True)
    code = reset("root")
    secret = TOTPDevice.objects.get(user=app.user).key
    backup = StaticDevice.objects.create(user=app.user, name="other")
    backup.token_set.create(token="secretcode")
    client = log_in(code, name="root")

    pages = [
        client.get(f"/admin/otp_totp/totpdevice/{app.pk}/change/"),
        client.get(f"/admin/otp_totp/totpdevice/{app.pk}/delete/"),
        client.get(f"/admin/otp_totp/totpdevice/{app.pk}/config/", follow=True),
        client.get(f"/admin/otp_totp/totpdevice/{app.pk}/qrcode/", follow=True),
        client.get("/admin/otp_totp/totpdevice/"),
        client.get(f"/admin/otp_static/staticdevice/{backup.pk}/change/"),
        client.get(f"/admin/otp_static/staticdevice/{backup.pk}/delete/"),
    ]

    assert {page.status_code for page in pages} == {200}
    for page in pages:
        assert secret not in page.content.decode()
        assert "secretcode" not in page.content.decode()


def test_the_admin_adds_and_changes_no_device_and_deletes_one(app):
    create_person("root", is_superuser=True, is_staff=True)
    client = log_in(reset("root"), name="root")
    backup = StaticDevice.objects.create(user=app.user, name="backup")
    fields = {"user": app.user.pk, "name": "chosen", "confirmed": "on", "key": "00" * 20}

    for path, device in (("otp_totp/totpdevice", app), ("otp_static/staticdevice", backup)):
        for page in (f"/admin/{path}/add/", f"/admin/{path}/{device.pk}/change/"):
            assert client.post(page, fields).status_code == 403
        assert client.get(f"/admin/{path}/add/").status_code == 403
        device.refresh_from_db()
        assert device.name != "chosen"
        client.post(f"/admin/{path}/{device.pk}/delete/", {"post": "yes"})

    assert not TOTPDevice.objects.exists()
    assert not StaticDevice.objects.filter(user=app.user).exists()


def test_the_menu_leads_staff_to_the_set_up(app):
    client = log_in(make_code(app.bin_key))

    assert f'href="{SETUP}"' in client.get("/").content.decode()


# --- The real server ---------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_the_environment_variable_turns_it_on(settings):
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.PBKDF2PasswordHasher"]
    create_person("anna", is_staff=True)
    code = reset()

    with running_daphne(ADMIN_SECOND_FACTOR="on") as server:
        statuses = [open_admin_over_http(server.port, sent) for sent in ("", code, code)]

    assert statuses == [302, 200, 302]


def open_admin_over_http(port, code):
    """Log in at the page with the code, and return the status of the admin."""
    cookies = {}
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as client:

        def request(method, path, fields=None):
            headers = {"Cookie": "; ".join(f"{name}={value}" for name, value in cookies.items())}
            headers["Content-Type"] = "application/x-www-form-urlencoded"
            client.request(method, path, urlencode(fields) if fields else None, headers)
            response = client.getresponse()
            response.read()
            for header in response.headers.get_all("Set-Cookie", []):
                name, _, value = header.split(";")[0].partition("=")
                cookies[name] = value
            return response.status

        request("GET", PAGE)
        fields = {"username": "anna", "password": PASSWORD, "otp_token": code}
        request("POST", PAGE, fields | {"csrfmiddlewaretoken": cookies["csrftoken"]})
        return request("GET", ADMIN)

"""Who may import with which importer: the permissions of its model, or a rule of its own."""

import io
import re
from uuid import uuid4

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.core.files.base import ContentFile
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse

from customers.importers import CustomerImporter
from customers.models import Customer
from imports import lifecycle, permissions
from imports.checks import list_importer_messages
from imports.history import Actor, Via
from imports.models import ImportJob
from imports.statuses import Status
from tests.conftest import create_user, logged_in_client
from tests.factories import (
    apply_all_batches,
    check_job,
    get_outcomes,
    make_csv,
    make_job,
    make_row,
    run_import,
)
from tests.test_downloads import read_content

pytestmark = pytest.mark.django_db

CONTENT = make_csv([make_row(1)])


@pytest.fixture
def clerk():
    """A user who may import customers, and neither change nor delete any."""
    return create_user("clerk", "add_importjob", "add_customer", may_write_records=False)


def revoke(user, *codenames):
    """Take permissions away, and return the user without cached permissions."""
    user.user_permissions.remove(*Permission.objects.filter(codename__in=codenames))
    return get_user_model().objects.get(pk=user.pk)


def upload(user, **fields):
    data = {"file": ContentFile(CONTENT, "c.csv"), "importer": "customers", **fields}
    return logged_in_client(user).post("/api/imports/", data)


def get_refusal(response):
    assert response.status_code == 403
    body = response.json()
    return body["code"], body["params"], body["message"]


# --- Uploads -----------------------------------------------------------------


def test_upload_needs_the_permission_to_add_records_of_the_model(clerk):
    assert upload(clerk).status_code == 202

    code, params, message = get_refusal(upload(clerk, importer="parcels"))

    assert code == "import_not_permitted"
    assert params == {
        "importer": "parcels",
        "title": "parcels",
        "permissions": ["parcels.add_parcel"],
    }
    assert message == (
        "You may not import this: parcels. Ask an administrator for the permission "
        "parcels.add_parcel."
    )
    assert ImportJob.objects.count() == 1


def test_upload_that_updates_needs_the_permission_to_change_records(clerk):
    code, params, message = get_refusal(upload(clerk, on_duplicate="update"))

    assert code == "policy_not_permitted"
    assert params == {
        "importer": "customers",
        "title": "customers",
        "permissions": ["customers.change_customer"],
        "on_duplicate": "update",
        "allowed": ["skip", "fail"],
    }
    assert "Update the existing record. Ask an administrator for the permission" in message
    assert not ImportJob.objects.exists()
    clerk.user_permissions.add(Permission.objects.get(codename="change_customer"))
    assert upload(clerk, on_duplicate="update").status_code == 202


def test_permission_of_the_model_alone_is_not_enough():
    nobody = create_user("nobody", "add_customer", "change_customer")

    assert upload(nobody).json()["code"] == "permission_denied"
    assert logged_in_client(nobody).get("/api/importers/").json()["results"] == []
    with pytest.raises(permissions.NotPermitted):
        lifecycle.upload(
            nobody,
            ContentFile(CONTENT, "c.csv"),
            importer="customers",
            by=Actor(nobody, Via.COMMAND_LINE),
        )


def test_importers_list_only_what_the_user_may_choose(clerk, alice):
    def read(user):
        results = logged_in_client(user).get("/api/importers/").json()["results"]
        return {
            each["name"]: [choice["value"] for choice in option["choices"]]
            for each in results
            for option in each["options"]
            if option["name"] == "on_duplicate"
        }

    every = ["skip", "update", "fail"]
    assert read(alice) == {"customers": every, "parcels": every}
    assert read(clerk) == {"customers": ["skip", "fail"]}
    assert logged_in_client(clerk).get("/api/importers/parcels/").status_code == 404
    assert logged_in_client(clerk).get("/api/importers/customers/").status_code == 200


@pytest.mark.django_db(transaction=True)
def test_template_needs_the_permission_of_its_importer(clerk):
    client = logged_in_client(clerk)

    def get_status(url):
        response = client.get(url)
        if response.streaming:
            assert read_content(response)
        return response.status_code

    assert get_status("/api/imports/template.xlsx") == 200  # The only one for her.
    assert get_status("/api/imports/template.xlsx?importer=customers") == 200
    refusal = client.get("/api/imports/template.xlsx?importer=parcels")
    assert get_refusal(refusal)[0] == "import_not_permitted"
    assert get_status("/imports/template.xlsx?importer=customers") == 200
    assert get_status("/imports/template.xlsx?importer=parcels") == 403
    assert get_status("/imports/template.xlsx?importer=nothing") == 404


def test_earlier_api_asks_for_the_same_permission():
    client = logged_in_client(create_user("old", "add_importjob", may_write_records=False))
    root = "/api/auth/customers/excel"

    uploaded = client.post(f"{root}/upload/", {"file": ContentFile(CONTENT, "c.csv")})
    created = client.post(
        f"{root}/bulk-create/", {"customers": [{}]}, content_type="application/json"
    )

    assert get_refusal(uploaded)[0] == get_refusal(created)[0] == "import_not_permitted"
    assert client.get(f"{root}/template/").status_code in {403, 404}


# --- Pages -------------------------------------------------------------------


def test_page_offers_only_what_the_user_may_choose(clerk, alice):
    def read(user):
        page = logged_in_client(user).get("/").content.decode()
        policies = re.findall(
            r'name="on_duplicate" value="(\w+)"[^>]*data-importers="([^"]*)"', page
        )
        return dict(policies), "Parcels" in page

    every = "customers parcels"
    assert read(alice) == ({"skip": every, "update": every, "fail": every}, True)
    assert read(clerk) == ({"skip": "customers", "fail": "customers"}, False)


def test_page_without_any_permitted_importer_says_whom_to_ask():
    client = logged_in_client(create_user("new", "add_importjob", may_write_records=False))

    page = client.get("/").content.decode()

    assert "You can import nothing yet. Ask an administrator" in page
    assert 'id="upload"' not in page


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("importer", "parcels", "Ask an administrator for the permission parcels.add_parcel."),
        ("on_duplicate", "update", "Ask an administrator for the permission customers.change"),
    ],
)
def test_page_refuses_what_it_does_not_offer(clerk, field, value, sentence):
    data = {"file": ContentFile(CONTENT, "c.csv"), "importer": "customers", "on_duplicate": "skip"}

    response = logged_in_client(clerk).post("/", {**data, field: value})

    assert response.status_code == 403
    assert sentence in response.content.decode()
    assert not ImportJob.objects.exists()


def test_page_validates_no_options_of_another_importer(clerk):
    client = logged_in_client(clerk)

    assert client.post("/imports/upload-options/", {"importer": "parcels"}).status_code == 403
    assert client.post("/imports/upload-options/", {"importer": "customers"}).status_code == 200


# --- Commands ----------------------------------------------------------------


def make_ready_job(owner, **fields):
    return check_job(make_job(CONTENT, owner=owner, check_first=True, **fields))


def give(user, job, command, **options):
    url = f"/api/imports/{job.pk}/" + (f"{command}/" if command else "")
    method = "post" if command else "patch"
    return getattr(logged_in_client(user), method)(url, content_type="application/json", **options)


def test_start_asks_again_because_the_permission_may_be_lost(clerk):
    job = make_ready_job(clerk)
    client = logged_in_client(revoke(clerk, "add_customer"))

    assert get_refusal(give(clerk, job, "start"))[0] == "import_not_permitted"
    listed = client.get(f"/api/imports/{job.pk}/").json()
    assert listed["actions"] == ["cancel"]
    page = client.get(f"/imports/{job.pk}/").content.decode()
    assert f"/imports/{job.pk}/start/" not in page
    assert f"/imports/{job.pk}/cancel/" in page
    answer = client.post(f"/imports/{job.pk}/start/", follow=True).content.decode()
    assert "You may not import this: customers." in answer
    assert ImportJob.objects.get().status == Status.READY
    assert give(clerk, job, "cancel").status_code == 202


def test_change_asks_for_the_permission_of_the_new_policy(clerk):
    job = make_ready_job(clerk)
    page = logged_in_client(clerk).get(f"/imports/{job.pk}/").content.decode()
    (choices,) = re.findall(r'<select name="on_duplicate".*?</select>', page, re.DOTALL)
    assert re.findall(r'value="(\w+)"', choices) == ["skip", "fail"]

    refusal = give(clerk, job, "", data={"on_duplicate": "update"})

    assert get_refusal(refusal)[0] == "policy_not_permitted"
    assert give(clerk, job, "", data={"on_duplicate": "fail"}).status_code == 202


def test_change_to_a_permitted_policy_is_possible_after_losing_the_other(clerk):
    clerk.user_permissions.add(Permission.objects.get(codename="change_customer"))
    job = make_ready_job(clerk, on_duplicate="update")
    clerk = revoke(clerk, "change_customer")

    assert get_refusal(give(clerk, job, "start"))[0] == "policy_not_permitted"
    assert get_refusal(give(clerk, job, "", data={"sheet": "x"}))[0] == "policy_not_permitted"
    assert give(clerk, job, "", data={"on_duplicate": "skip"}).status_code == 202


def test_resume_and_retry_ask_again(clerk):
    job = lifecycle.start(make_ready_job(clerk))
    lifecycle.pause(job)
    failing = run_import(make_csv([make_row(2, phone="12")]), owner=clerk)
    assert failing.failed == 1
    clerk = revoke(clerk, "add_customer")

    assert get_refusal(give(clerk, job, "resume"))[0] == "import_not_permitted"
    assert get_refusal(give(clerk, failing, "retry"))[0] == "import_not_permitted"
    assert ImportJob.objects.count() == 2


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        ((), ["customers.delete_customer", "customers.change_customer"]),
        (("delete_customer",), ["customers.change_customer"]),
        (("change_customer",), ["customers.delete_customer"]),
        (("delete_customer", "change_customer"), None),
    ],
)
def test_undo_asks_for_what_it_does(clerk, given, missing):
    run_import(make_csv([make_row(1)]), owner=clerk)
    rows = [make_row(1, first="Kofi"), make_row(2)]
    job = run_import(make_csv(rows), owner=clerk, on_duplicate="update")
    assert (job.created, job.updated) == (1, 1)
    clerk.user_permissions.add(*Permission.objects.filter(codename__in=given))
    client = logged_in_client(clerk)

    response = client.post(f"/api/imports/{job.pk}/undo/")

    if missing is None:
        assert response.status_code == 202
        return
    code, params, _ = get_refusal(response)
    assert (code, params["permissions"]) == ("undo_not_permitted", missing)
    assert "undo" not in client.get(f"/api/imports/{job.pk}/").json()["actions"]
    page = client.get(f"/imports/{job.pk}/undo/", follow=True)
    assert page.redirect_chain
    assert "because you may not remove or restore its records" in page.content.decode()
    client.post(f"/imports/{job.pk}/undo/")
    assert ImportJob.objects.get(pk=job.pk).status == Status.COMPLETE


def test_undo_of_created_records_needs_no_permission_to_change(clerk):
    job = run_import(CONTENT, owner=clerk)
    clerk.user_permissions.add(Permission.objects.get(codename="delete_customer"))

    assert give(clerk, job, "undo").status_code == 202


def test_who_controls_all_imports_needs_the_permission_of_the_model_too(alice):
    keeper = create_user("keeper", "control_all", may_write_records=False)
    job = make_ready_job(alice)

    assert get_refusal(give(keeper, job, "start"))[0] == "import_not_permitted"
    assert give(keeper, job, "cancel").status_code == 202


def test_admin_refuses_too(alice):
    keeper = create_user("keeper", "control_all", may_write_records=False, is_staff=True)
    client = logged_in_client(keeper)
    job = make_ready_job(alice)
    url = f"/admin/imports/importjob/{job.pk}"

    page = client.get(f"{url}/change/").content.decode()
    answer = client.post(f"{url}/commands/start/", follow=True).content.decode()

    assert f"{url}/commands/start/" not in page
    assert f"{url}/commands/cancel/" in page
    assert "Ask an administrator for the permission customers.add_customer." in answer
    assert ImportJob.objects.get().status == Status.READY
    bulk = {"action": "start", "_selected_action": [str(job.pk)]}
    client.post("/admin/imports/importjob/", bulk)
    assert ImportJob.objects.get().status == Status.READY


# --- The command line --------------------------------------------------------


def import_file(tmp_path, user, *options):
    path = tmp_path / "c.csv"
    path.write_bytes(CONTENT)
    name = user.get_username()
    call_command("import_file", str(path), "--importer", "customers", "--user", name, *options)


def test_command_line_asks_for_the_permission_of_the_named_user(tmp_path, clerk, capsys):
    with pytest.raises(CommandError, match=r"customers.change_customer. \(code: policy_not") as one:
        import_file(tmp_path, clerk, "--update")
    assert one.value.returncode == 2
    visitor = create_user("visitor", "add_customer")
    with pytest.raises(CommandError, match=r"the permission imports.add_importjob. \(code: import"):
        import_file(tmp_path, visitor)
    assert not ImportJob.objects.exists()

    import_file(tmp_path, clerk, "--check-first")
    job = check_job(ImportJob.objects.get())
    clerk = revoke(clerk, "add_customer")
    with pytest.raises(CommandError, match="import_not_permitted"):
        call_command("start_import", str(job.pk), "--user", clerk.get_username())
    assert ImportJob.objects.get().status == Status.READY
    call_command("start_import", str(job.pk), stdout=io.StringIO())  # The operator is trusted.
    assert ImportJob.objects.get().status == Status.RUNNING


def test_code_of_the_project_is_trusted():
    user = create_user("service")
    job = lifecycle.create_import(
        user, ContentFile(CONTENT, "c.csv"), importer="customers", on_duplicate="update"
    )

    apply_all_batches(check_job(job).pk)
    lifecycle.undo(job)

    assert ImportJob.objects.get().status == Status.UNDOING


# --- Rules of an importer ----------------------------------------------------


def test_importer_has_a_rule_of_its_own(monkeypatch, clerk, alice):
    monkeypatch.setattr(
        CustomerImporter,
        "may_import",
        classmethod(lambda cls, user, on_duplicate: user == clerk and on_duplicate == "update"),
    )
    monkeypatch.setattr(
        CustomerImporter, "may_undo", classmethod(lambda cls, user, *, removes, restores: False)
    )

    assert upload(clerk, on_duplicate="update").status_code == 202
    code, params, message = get_refusal(upload(clerk))  # The default policy is not allowed.
    assert (code, params["allowed"], params["permissions"]) == (
        "policy_not_permitted",
        ["update"],
        [],
    )
    assert message.endswith("Ask an administrator to allow it.")
    assert get_refusal(upload(alice))[0] == "import_not_permitted"
    (importer,) = logged_in_client(clerk).get("/api/importers/").json()["results"]
    (option,) = [each for each in importer["options"] if each["name"] == "on_duplicate"]
    assert (option["required"], option["default"]) == (True, None)
    job = run_import(CONTENT, owner=alice)
    assert get_refusal(give(alice, job, "undo"))[0] == "undo_not_permitted"


def test_commands_of_an_import_without_its_importer_say_why_they_fail(clerk):
    job = make_ready_job(clerk)
    ImportJob.objects.update(importer="removed")

    assert logged_in_client(clerk).get(f"/imports/{job.pk}/").status_code == 200
    assert permissions.is_permitted(clerk, ImportJob.objects.get(), "start")


@pytest.mark.parametrize(
    ("name", "method", "is_accepted"),
    [
        ("may_import", classmethod(lambda cls, user, on_duplicate: True), True),
        ("may_import", staticmethod(lambda user, on_duplicate: True), True),
        ("may_import", classmethod(lambda cls, user: True), False),
        ("may_import", lambda self, user, on_duplicate: True, False),
        ("may_undo", classmethod(lambda cls, user, **effects: True), True),
        ("may_undo", classmethod(lambda cls, user, removes: True), False),
    ],
)
def test_system_check_finds_a_rule_that_cannot_be_called(name, method, is_accepted):
    importer = type("Customers", (CustomerImporter,), {name: method})

    found = [each.id for each in list_importer_messages(importer)]

    assert ("imports.E013" in found) != is_accepted


# --- Lookups -----------------------------------------------------------------

PARCEL_HEADERS = ["Customer", "Number", "Weight"]


def import_parcel(owner, mark):
    content = make_csv([[mark, 1, 2]], PARCEL_HEADERS)
    return run_import(content, owner=owner, importer="parcels")


def get_row_errors(job):
    return [{**error, "value": ""} for row in job.rows.exclude(errors=None) for error in row.errors]


def test_lookup_confirms_no_record_that_the_user_may_not_see(alice, bob):
    run_import(make_csv([make_row(1)]), owner=bob)
    assert Customer.objects.get().shipping_mark == "MARK 1"

    of_existing = get_row_errors(import_parcel(alice, "MARK 1"))
    of_missing = get_row_errors(import_parcel(alice, "MARK 2"))

    assert of_existing == of_missing
    assert [error["code"] for error in of_existing] == ["not_found"]


def test_lookup_finds_what_the_user_may_see(alice, bob):
    run_import(make_csv([make_row(1)]), owner=bob)
    run_import(make_csv([make_row(2)]), owner=alice)

    assert set(get_outcomes(import_parcel(alice, "MARK 2")).values()) == {"created"}  # Her own.
    viewer = create_user("viewer", "add_importjob", "view_customer")
    assert import_parcel(viewer, "MARK 1").failed == 0


def test_lookup_of_an_import_without_an_owner_finds_nothing(alice):
    run_import(make_csv([make_row(1)]), owner=alice)
    job = make_job(make_csv([["MARK 1", 1, 2]], PARCEL_HEADERS), importer="parcels")
    ImportJob.objects.filter(pk=job.pk).update(owner=None)

    assert check_job(job).failed == 1


def test_preview_row_of_a_hidden_record_names_no_record(alice, bob):
    run_import(make_csv([make_row(1)]), owner=bob)
    job = check_job(
        make_job(
            make_csv([make_row(1, first="Kofi")]),
            owner=alice,
            check_first=True,
            on_duplicate="update",
        )
    )

    (update,) = logged_in_client(alice).get(f"/api/imports/{job.pk}/preview/").json()["updates"]

    assert (update["record"], update["changes"]) in [(None, {}), (None, [])]


@pytest.mark.parametrize("on_duplicate", ["skip", "fail", "update"])
def test_row_that_matches_a_hidden_record_names_no_record(alice, bob, on_duplicate):
    run_import(make_csv([make_row(1)]), owner=bob)
    content = make_csv([make_row(1, first="Kofi"), make_row(2)])
    job = check_job(make_job(content, owner=alice, check_first=True, on_duplicate=on_duplicate))
    address = f"/api/imports/{job.pk}/rows/"

    hidden = [row["record"] for row in logged_in_client(alice).get(address).json()["results"]]
    alice.user_permissions.add(Permission.objects.get(codename="view_customer"))
    visible = [row["record"] for row in logged_in_client(alice).get(address).json()["results"]]

    assert hidden == [None, None]
    assert visible == [str(Customer.objects.get().pk), None]


def test_row_in_the_admin_names_no_record_without_permission_for_records(eve):
    job = run_import(make_csv([make_row(1)]))
    address = reverse("admin:imports_importjob_rows", args=[job.pk])

    (row,) = logged_in_client(eve).get(address).context["rows"]
    eve.user_permissions.add(Permission.objects.get(codename="view_customer"))
    (visible_row,) = logged_in_client(eve).get(address).context["rows"]

    assert row["record"] is None
    assert visible_row["record"] == str(Customer.objects.get().pk)


def test_anonymous_user_learns_nothing_about_importers():
    client = Client()

    assert client.get("/api/importers/").status_code == 401
    assert client.get("/api/imports/template.xlsx?importer=customers").status_code == 401
    assert client.post(f"/api/imports/{uuid4()}/start/").status_code == 401

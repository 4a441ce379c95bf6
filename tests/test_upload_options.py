"""The upload form of an importer: its options in the Python API, the REST API, pages and admin."""

import datetime
import json
import uuid
from decimal import Decimal

import pytest
from django import forms
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import OperationalError
from django.urls import reverse
from django.utils.translation import override

from customers.models import Customer
from imports import lifecycle
from imports.checks import check_upload_form
from imports.idempotency import IdempotencyKeyReused
from imports.importer import get_importer
from imports.models import ImportJob
from imports.upload_options import InvalidOptions, describe_options
from tests.conftest import logged_in_client
from tests.factories import check_job, make_csv, make_job

pytestmark = pytest.mark.django_db(transaction=True)

CONTENT = make_csv([["ANN", "1", "1"]], ["Mark", "Number", "Weight"])


class ParcelOptions(forms.Form):
    branch = forms.ChoiceField(label="Branch", choices=[("kum", "Kumasi"), ("acc", "Accra")])
    customer = forms.ModelChoiceField(Customer.objects.all(), required=False)
    others = forms.ModelMultipleChoiceField(Customer.objects.all(), required=False)
    tags = forms.MultipleChoiceField(choices=[("a", "First"), ("b", "Second")], required=False)
    arrived_on = forms.DateField(required=False)
    fee = forms.DecimalField(required=False, max_value=100)
    fragile = forms.BooleanField(label="Fragile goods", required=False)
    note = forms.CharField(required=False, help_text="Anything else.")

    def clean(self):
        if self.cleaned_data.get("note") == "refused":
            raise forms.ValidationError("The note is refused.", "refused")
        return self.cleaned_data


@pytest.fixture(autouse=True)
def _use_form(monkeypatch):
    monkeypatch.setattr(get_importer("parcels"), "upload_form", ParcelOptions)


@pytest.fixture
def ann():
    return Customer.objects.create(
        shipping_mark="ANN", first_name="Ann", last_name="Addo", phone="+233244000001"
    )


def upload(owner, importer="parcels", **fields):
    return lifecycle.upload(
        owner, SimpleUploadedFile("parcels.csv", CONTENT), importer=importer, **fields
    )


# --- Python ------------------------------------------------------------------


def test_options_are_stored_in_types_of_json(alice, ann):
    job = upload(
        alice,
        options={
            "branch": "kum",
            "customer": ann,
            "others": [ann.pk],
            "tags": ["a", "b"],
            "arrived_on": datetime.date(2026, 1, 31),
            "fee": Decimal("2.50"),
            "fragile": True,
        },
    )

    stored = ImportJob.objects.get(pk=job.pk)
    assert stored.importer_options == job.importer_options
    assert stored.importer_options == {
        "branch": "kum",
        "customer": ann.pk,
        "others": [ann.pk],
        "tags": ["a", "b"],
        "arrived_on": "2026-01-31",
        "fee": "2.50",
        "fragile": True,
        "note": "",
    }
    assert stored.make_context().options == stored.importer_options


def test_stored_options_are_accepted_again(alice, ann):
    first = upload(alice, options={"branch": "kum", "customer": ann, "fee": "1.50", "tags": "a"})

    second = upload(alice, options=first.importer_options)

    assert second.importer_options == first.importer_options


@pytest.mark.parametrize(
    ("options", "errors"),
    [
        ({}, {"branch": "required"}),
        ({"branch": "tema"}, {"branch": "invalid_choice"}),
        ({"branch": "kum", "customer": 10**6}, {"customer": "invalid_choice"}),
        ({"branch": "kum", "fee": "101", "arrived_on": "never"},
         {"fee": "max_value", "arrived_on": "invalid"}),
        ({"branch": "kum", "brnach": "kum"}, {"brnach": "unknown_field"}),
        ({"branch": "kum", "note": "refused"}, {"__all__": "refused"}),
        ({"branch": "kum", "note": "a\ud800"}, {"note": "forbidden_character"}),
    ],
)  # fmt: skip
def test_invalid_options_store_nothing(alice, options, errors):
    with pytest.raises(InvalidOptions) as raised:
        upload(alice, options=options)

    found = {name: error.code for name, (error,) in raised.value.errors.items()}
    assert found == errors
    assert not ImportJob.objects.exists()


def test_the_python_api_takes_options_and_names_their_errors(alice, tmp_path):
    path = tmp_path / "parcels.csv"
    path.write_bytes(CONTENT)

    job = lifecycle.create_import(alice, path, importer="parcels", options={"branch": "acc"})

    assert job.importer_options["branch"] == "acc"
    with pytest.raises(lifecycle.InvalidOptions, match=r"branch: This field is required\."):
        lifecycle.create_import(alice, path, importer="parcels")


def test_an_importer_without_a_form_has_no_options(alice):
    assert upload(alice, importer="customers").importer_options == {}
    with pytest.raises(InvalidOptions):
        upload(alice, importer="customers", options={"branch": "kum"})


def test_options_belong_to_the_upload_of_an_idempotency_key(alice):
    first = upload(alice, options={"branch": "kum"}, idempotency_key="k")

    assert upload(alice, options={"branch": "kum"}, idempotency_key="k").pk == first.pk
    with pytest.raises(IdempotencyKeyReused):
        upload(alice, options={"branch": "acc"}, idempotency_key="k")


def test_a_form_may_depend_on_the_user(alice, bob, monkeypatch):
    def make_upload_form(user, **arguments):
        form = ParcelOptions(**arguments)
        form.fields["branch"].choices = [(user.username, user.username)]
        return form

    monkeypatch.setattr(get_importer("parcels"), "make_upload_form", make_upload_form)

    assert upload(alice, options={"branch": "alice"}).importer_options["branch"] == "alice"
    with pytest.raises(InvalidOptions):
        upload(bob, options={"branch": "alice"})


def test_hooks_and_values_get_the_options(alice, ann, monkeypatch):
    importer = get_importer("parcels")
    monkeypatch.setattr(
        importer, "values", lambda context: {"state": context.options["branch"]}, raising=False
    )

    job = check_job(upload(alice, options={"branch": "kum"}))

    assert job.field_values == {"state": "kum"}


class FormWithFile(forms.Form):
    branch = forms.CharField()
    logo = forms.ImageField()


@pytest.mark.parametrize("form", [FormWithFile, ParcelOptions(), "ParcelOptions"])
def test_the_system_check_refuses_a_form_that_cannot_be_stored(monkeypatch, form):
    importer = get_importer("parcels")
    monkeypatch.setattr(importer, "upload_form", form)

    assert [problem[2] for problem in check_upload_form(importer)] == ["E012"]


# --- REST --------------------------------------------------------------------


def post(user, options=None, importer="parcels", **fields):
    data = {"file": SimpleUploadedFile("parcels.csv", CONTENT), "importer": importer} | fields
    if options is not None:
        data["options"] = options if isinstance(options, str) else json.dumps(options)
    return logged_in_client(user).post(reverse("imports:api:import-list"), data)


def test_the_api_takes_options_as_a_json_object(alice, ann):
    response = post(alice, {"branch": "kum", "customer": ann.pk, "tags": ["a"]})

    assert response.status_code == 202, response.content
    options = response.json()["options"]
    assert (options["branch"], options["customer"], options["tags"]) == ("kum", ann.pk, ["a"])
    assert ImportJob.objects.get().importer_options == options


@pytest.mark.parametrize("options", ["[]", '"kum"', "null", "{", "7"])
def test_the_api_refuses_what_is_no_json_object(alice, options):
    response = post(alice, options)

    assert response.status_code == 400
    (error,) = response.json()["errors"]
    assert error["field"] == "options"
    assert error["message"].endswith('Send one, as {"branch": "Kumasi"}.')


def test_an_empty_text_means_no_options(alice):
    assert post(alice, "", importer="customers").status_code == 202


@pytest.mark.parametrize(
    ("options", "field", "code"),
    [
        (None, "options.branch", "required"),
        ({"branch": "tema"}, "options.branch", "invalid_choice"),
        ({"branch": "kum", "other": 1}, "options.other", "unknown_field"),
        ({"branch": "kum", "note": "refused"}, "options", "refused"),
        ({"branch": "kum", "note": "\x00"}, "options.note", "null_characters_not_allowed"),
        ({"branch": {"a": 1}}, "options.branch", "invalid_choice"),
        ({"branch": "kum", "customer": {"a": []}}, "options.customer", "invalid_choice"),
        ({"branch": "kum", "fee": [1]}, "options.fee", "invalid"),
        ({"branch": "kum", "arrived_on": {}}, "options.arrived_on", None),
    ],
)
def test_the_api_names_the_option_with_an_error(alice, options, field, code):
    response = post(alice, options)

    if code is None:  # The form field takes an empty value of any type as empty.
        assert response.status_code == 202
        return
    assert response.status_code == 400, response.content
    assert [(e["field"], e["code"]) for e in response.json()["errors"]] == [(field, code)]


def test_a_field_of_the_form_is_no_field_of_the_upload(alice):
    response = post(alice, branch="kum")

    assert [e["field"] for e in response.json()["errors"]] == ["branch"]


# --- Pages and admin -----------------------------------------------------------


def get_page(user, query=""):
    response = logged_in_client(user).get(reverse("imports:list") + query)
    return response.content.decode()


def post_page(user, language="en", **fields):
    data = {
        "file": SimpleUploadedFile("parcels.csv", CONTENT),
        "importer": "parcels",
        "on_duplicate": "skip",
    }
    client = logged_in_client(user, headers={"Accept-Language": language})
    return client.post(reverse("imports:list"), data | fields)


def test_the_upload_page_shows_the_form_of_each_importer(alice):
    page = get_page(alice)

    assert page.count('<fieldset class="upload-options"') == 1
    assert 'data-importer="parcels"' in page
    assert 'name="parcels-branch"' in page
    assert "Fragile goods" in page
    assert "Anything else." in page


def test_the_page_uploads_with_options(alice):
    response = post_page(
        alice, **{"parcels-branch": "acc", "parcels-fragile": "on", "parcels-tags": ["b"]}
    )

    job = ImportJob.objects.get()
    assert response.url == reverse("imports:detail", args=[job.pk])
    options = job.importer_options
    assert (options["branch"], options["fragile"], options["tags"]) == ("acc", True, ["b"])


def test_the_page_shows_errors_beside_the_options(alice):
    response = post_page(alice, **{"parcels-branch": "", "parcels-fee": "1000"})

    page = response.content.decode()
    assert response.status_code == 422
    assert "Correct the options that are marked." in page
    assert "This field is required." in page
    assert 'aria-invalid="true"' in page
    assert 'value="1000"' in page
    assert not ImportJob.objects.exists()


def test_errors_of_options_are_in_the_language_of_the_page(alice):
    page = post_page(alice, "fr").content.decode()

    assert "Ce champ est obligatoire." in page


def test_the_options_of_another_importer_are_not_validated(alice):
    response = post_page(alice, importer="customers")

    assert response.status_code == 302
    assert ImportJob.objects.get().importer_options == {}


def check_options(user, **fields):
    url = reverse("imports:upload-options")
    return logged_in_client(user).post(url, {"importer": "parcels"} | fields)


def test_the_script_gets_the_options_for_the_api(alice):
    response = check_options(alice, **{"parcels-branch": "kum", "parcels-tags": ["a", "b"]})

    assert response.json() == {"options": {"branch": "kum", "tags": ["a", "b"]}}
    assert post(alice, response.json()["options"]).status_code == 202


def test_the_script_gets_the_form_with_its_errors(alice):
    response = check_options(alice, **{"parcels-note": "refused"})

    assert response.status_code == 422
    page = response.content.decode()
    assert page.strip().startswith("<fieldset")
    assert "This field is required." in page
    assert "The note is refused." in page


def test_the_script_is_told_what_only_the_upload_refuses(alice):
    response = check_options(alice, **{"parcels-branch": "kum", "parcels-other": "1"})

    assert response.status_code == 422
    assert "There is no such option." in response.content.decode()


def test_only_users_who_may_import_check_options(alice, eve):
    assert check_options(eve).status_code == 403
    assert check_options(alice, importer="gone").status_code == 404
    assert check_options(alice, importer="customers").json() == {"options": {}}


def test_the_options_are_copied_for_a_corrected_file(alice, ann):
    job = upload(alice, options={"branch": "acc", "customer": ann, "fee": "2.5", "tags": ["b"]})

    page = get_page(alice, f"?corrects={job.pk}")

    assert '<option value="acc" selected>' in page
    assert f'<option value="{ann.pk}" selected>' in page
    assert 'value="2.5"' in page
    assert '<option value="b" selected>' in page


def test_the_page_and_the_admin_show_the_options(alice, root, ann):
    job = upload(alice, options={"branch": "acc", "fragile": True, "customer": ann})

    page = logged_in_client(alice).get(reverse("imports:detail", args=[job.pk])).content.decode()
    admin_url = reverse("admin:imports_importjob_change", args=[job.pk])
    admin = logged_in_client(root).get(admin_url).content.decode()

    for label, value in (("Branch", "Accra"), ("Fragile goods", "Yes"), ("Customer", ann)):
        assert f"{label}: <bdi>{value}</bdi>" in page
        assert f"{label}: {value}" in admin


def test_options_are_described_in_the_language_of_the_reader(alice, ann):
    job = upload(
        alice,
        options={
            "branch": "kum",
            "others": [ann],
            "tags": ["a", "b"],
            "arrived_on": "2026-01-31",
            "fee": "2.5",
        },
    )

    with override("fr"):
        assert dict(describe_options(job)) == {
            "Branch": "Kumasi",
            "Others": str(ann),
            "Tags": "First, Second",
            "Arrived on": "31 janvier 2026",
            "Fee": "2,5",
            "Fragile goods": "Non",
        }


def test_options_of_a_form_that_has_changed_are_shown_as_stored(alice, monkeypatch):
    job = make_job(
        CONTENT,
        importer="parcels",
        owner=alice,
        importer_options={"old_name": "x", "branch": "gone", "fee": "x", "customer": 5},
    )
    assert describe_options(job) == [
        ("Old name", "x"),
        ("Branch", "gone"),
        ("Fee", "x"),
        ("Customer", "5"),
    ]

    def fail(user, **arguments):
        raise ValueError

    monkeypatch.setattr(get_importer("parcels"), "make_upload_form", fail)
    assert describe_options(job)[0] == ("Old name", "x")
    monkeypatch.setattr(job, "importer", f"gone-{uuid.uuid4()}")
    assert describe_options(job)[1] == ("Branch", "gone")


# --- Bugs in the form ----------------------------------------------------------

PHONE = "+233244000000"
FAILURE = (
    "The options of this importer cannot be used because of an error in its upload form "
    "(LookupError). Tell an administrator."
)


def fail(*_arguments, **_options):
    raise LookupError(PHONE)


class UnrenderedWidget(forms.TextInput):
    render = fail


class FailsToRender(forms.Form):
    branch = forms.CharField(widget=UnrenderedWidget)


class FailsToClean(forms.Form):
    branch = forms.CharField()
    clean = fail


class FailsToDescribe(forms.Form):
    branch = forms.ChoiceField(choices=fail)


@pytest.fixture
def break_form(monkeypatch):
    """Return a function that gives the importer a form with a bug; None fails to make any."""

    def use(form):
        if form is None:
            monkeypatch.setattr(get_importer("parcels"), "make_upload_form", fail)
        else:
            monkeypatch.setattr(get_importer("parcels"), "upload_form", form)

    return use


def assert_logged(caplog):
    assert "Importer parcels: the upload form raised LookupError" in caplog.text
    assert PHONE not in caplog.text


@pytest.mark.parametrize("form", [None, FailsToRender, FailsToDescribe])
def test_a_form_that_cannot_be_shown_is_replaced_by_a_sentence(alice, break_form, form, caplog):
    break_form(form)

    page = get_page(alice)

    assert '<fieldset class="upload-options" data-importer="parcels">' in page
    assert FAILURE in page
    assert_logged(caplog)


@pytest.mark.parametrize("form", [None, FailsToClean, FailsToDescribe])
def test_an_upload_with_a_broken_form_is_refused_everywhere(alice, break_form, form, caplog):
    break_form(form)

    page = post_page(alice, **{"parcels-branch": "kum"})
    checked = check_options(alice, **{"parcels-branch": "kum"})
    answer = post(alice, {"branch": "kum"})

    assert (page.status_code, checked.status_code) == (422, 422)
    assert FAILURE in page.content.decode()
    assert FAILURE in checked.content.decode()
    body = answer.json()
    assert (answer.status_code, body["code"]) == (500, "upload_form_failed")
    assert body["message"] == FAILURE
    with pytest.raises(lifecycle.UploadFormFailed, match="LookupError"):
        upload(alice, options={"branch": "kum"})
    assert not ImportJob.objects.exists()
    assert_logged(caplog)


def test_an_importer_with_a_broken_form_does_not_affect_the_others(alice, break_form):
    break_form(None)

    assert post_page(alice, importer="customers").status_code == 302
    assert post(alice, importer="customers").status_code == 202


@pytest.mark.parametrize("form", [None, FailsToDescribe])
def test_the_options_of_a_broken_form_are_shown_as_they_are_stored(alice, break_form, form, caplog):
    job = upload(alice, options={"branch": "kum", "fragile": True})
    break_form(form)

    assert describe_options(job) == [("Branch", "kum"), ("Fragile", "Yes")]
    assert_logged(caplog)


def test_a_form_that_loses_the_database_is_no_bug(alice, monkeypatch):
    def lose(*_arguments, **_options):
        raise OperationalError

    monkeypatch.setattr(get_importer("parcels"), "make_upload_form", lose)

    response = post(alice, {"branch": "kum"})

    assert (response.status_code, response.json()["code"]) == (503, "unavailable")

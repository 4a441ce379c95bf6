"""The admin of imports on a site of the project's own, beside the default one."""

import re

import pytest
from django.contrib.admin import AdminSite
from django.urls import path, reverse

from config.urls import urlpatterns as site_urlpatterns
from customers.admin import CustomerAdmin
from customers.models import Customer
from imports import admin
from imports.models import ImportBatch, ImportJob, Worker
from imports.statuses import Status
from tests.conftest import logged_in_client
from tests.factories import check_job, make_csv, make_job, make_row, run_import

pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__)]

office = AdminSite(name="office")
office.register(ImportJob, admin.ImportJobAdmin)
office.register(ImportBatch, admin.ImportBatchAdmin)
office.register(Worker, admin.WorkerAdmin)
office.register(Customer, CustomerAdmin)

urlpatterns = [path("back/office/", office.urls), *site_urlpatterns]
OFFICE = "/back/office/imports"


@pytest.fixture
def job():
    return run_import(make_csv([make_row(1), make_row(2, phone="12"), make_row(3, last="")]))


@pytest.mark.parametrize(
    "address",
    [
        f"{OFFICE}/importjob/",
        f"{OFFICE}/importjob/{{job.pk}}/change/",
        f"{OFFICE}/importjob/{{job.pk}}/rows/",
        f"{OFFICE}/importjob/{{job.pk}}/rows/?outcome=failed",
        f"{OFFICE}/importbatch/",
        f"{OFFICE}/importbatch/{{batch.pk}}/change/",
        f"{OFFICE}/worker/",
        "/back/office/customers/customer/",
    ],
)
def test_every_link_of_a_page_stays_on_its_site(address, job, root):
    address = address.format(job=job, batch=job.batches.get())

    response = logged_in_client(root).get(address)

    links = re.findall(r'(?:href|action|formaction)="([^"]+)"', response.content.decode())
    assert response.status_code == 200
    assert [link for link in links if link.startswith("/admin/")] == []
    assert any(link.startswith("/back/office/") for link in links)


def test_an_action_returns_to_its_site(root):
    job = check_job(make_job(make_csv([make_row(1)]), check_first=True))

    response = logged_in_client(root).post(f"{OFFICE}/importjob/{job.pk}/commands/cancel/")

    assert response["Location"] == f"{OFFICE}/importjob/{job.pk}/change/"
    assert ImportJob.objects.get(pk=job.pk).status == Status.CANCELLED


def test_the_default_site_links_to_itself(job, root):
    response = logged_in_client(root).get(reverse("admin:imports_importbatch_changelist"))

    assert f"/admin/imports/importjob/{job.pk}/change/" in response.content.decode()
    assert "/back/office/" not in response.content.decode()

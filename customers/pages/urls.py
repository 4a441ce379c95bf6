"""The addresses of the pages of customers."""

from django.urls import path

from customers.pages import views

urlpatterns = [path("customers/", views.customers, name="customers")]

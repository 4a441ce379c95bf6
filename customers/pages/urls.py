"""The URLs of the customer pages."""

from django.urls import path

from customers.pages import views

urlpatterns = [path("customers/", views.list_customers, name="customers")]

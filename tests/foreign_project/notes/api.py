"""The project's own REST API, which relies on the project's settings of Django REST framework."""

from rest_framework.decorators import api_view
from rest_framework.exceptions import APIException
from rest_framework.generics import ListAPIView
from rest_framework.response import Response
from rest_framework.serializers import ModelSerializer
from rest_framework.views import exception_handler
from shop.models import Product


class ProductSerializer(ModelSerializer):
    class Meta:
        model = Product
        fields = ("code", "name")


class ProductsView(ListAPIView):
    queryset = Product.objects.order_by("code")
    serializer_class = ProductSerializer


@api_view(["GET"])
def fail(request):
    raise APIException("It failed.")


@api_view(["GET"])
def ping(request):
    return Response({"ping": "pong"})


def handle_exception(error, context):
    response = exception_handler(error, context)
    if response is not None:
        response.data = {"project_error": str(error)}
    return response

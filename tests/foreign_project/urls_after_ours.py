from notes import api

urlpatterns += [
    path("api/products/", api.ProductsView.as_view()),
    path("api/fail/", api.fail),
    path("data/ping/", api.ping),
    path("data/api/ping/", api.ping),
]

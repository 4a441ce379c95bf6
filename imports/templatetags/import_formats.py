"""The filter `intcomma` of django.contrib.humanize, for projects that do not install that app."""

from django import template
from django.contrib.humanize.templatetags.humanize import intcomma

register = template.Library()
register.filter("intcomma", intcomma, is_safe=True)

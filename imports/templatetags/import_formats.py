"""Filters of the pages: `intcomma` of django.contrib.humanize, `importer_title` and `visible`.

The tag `has_workbooks` says whether the site writes workbooks.
"""

from django import template
from django.contrib.humanize.templatetags.humanize import intcomma
from django.utils.text import capfirst

from imports.importer import get_importer_or_placeholder
from imports.text_cell_values import show_control_characters
from imports.workbooks import has_workbooks

register = template.Library()
register.simple_tag(has_workbooks)
register.filter("intcomma", intcomma, is_safe=True)
register.filter("visible", show_control_characters)


@register.filter
def importer_title(name: str) -> str:
    """Return the name of the records of an importer, capitalized."""
    return capfirst(get_importer_or_placeholder(name).title())

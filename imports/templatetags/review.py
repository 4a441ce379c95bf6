"""The admin's own words for numbers, times and attempts, for its templates."""

from django import template

from imports.admin import base, timeline

register = template.Library()
register.filter("at", base.at)
register.filter("grouped", base.grouped)
register.filter("lasted", base.lasted)
register.filter("rate", base.rate)
register.filter("attempts_at", timeline.attempts_at)
register.filter("became_of", timeline.became_of)

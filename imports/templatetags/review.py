"""The admin's own words for numbers, times and attempts, for its templates."""

from django import template

from imports.admin import reviewing, timeline

register = template.Library()
register.filter("at", reviewing.at)
register.filter("grouped", reviewing.grouped)
register.filter("lasted", reviewing.lasted)
register.filter("rate", reviewing.rate)
register.filter("attempts_at", timeline.attempts_at)
register.filter("became_of", timeline.became_of)

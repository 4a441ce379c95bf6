"""Template filters of the admin: format numbers, times and attempts."""

from django import template

from imports.admin import base, timeline

register = template.Library()
register.filter("format_number", base.format_number)
register.filter("format_duration", base.format_duration)
register.filter("format_rate", base.format_rate)
register.filter("format_time", base.format_time)
register.filter("count_attempts", timeline.count_attempts)
register.filter("describe_attempt", timeline.describe_attempt)

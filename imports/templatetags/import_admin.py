"""Template filters of the admin: format numbers, times and attempts, and `visible`."""

from django import template

from imports.admin import base, timeline
from imports.text_cell_values import show_control_characters

register = template.Library()
register.filter("visible", show_control_characters)
register.filter("format_number", base.format_number)
register.filter("format_duration", base.format_duration)
register.filter("format_rate", base.format_rate)
register.filter("format_time", base.format_time)
register.filter("count_attempts", timeline.count_attempts)
register.filter("describe_attempt", timeline.describe_attempt)

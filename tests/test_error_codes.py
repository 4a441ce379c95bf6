"""Every code that the source code raises is in the registry, with the types of its parameters."""

import ast
import re
from collections import defaultdict

import pytest
from rest_framework import serializers

from imports import error_codes
from imports.error_messages import JOB_MESSAGES, MAPPING_MESSAGES
from imports.importer import list_importers
from tests.streams import PROJECT

CODE = re.compile(r"[a-z][a-z_]*[a-z]")


def get_names(codes):
    return {code.name for code in codes}


REQUEST = get_names(error_codes.list_request_codes())
FIELD = get_names(error_codes.list_field_codes())
IMPORT = get_names(error_codes.list_import_codes())
ROW = get_names(error_codes.list_row_codes(list_importers()))
READ_SUMMARY = get_names(error_codes.list_read_summary_codes())
KEPT = get_names(error_codes.list_kept_codes())
ALL = REQUEST | FIELD | IMPORT | ROW | READ_SUMMARY | KEPT

# For each function and exception that takes a code: its position, and the codes it may be.
CODE_ARGUMENTS = {
    "InvalidValue": (0, ROW),
    "FieldKind": (0, ROW),
    "fail_rows": (1, ROW),
    "_invalid": (0, ROW),
    "ReadError": (0, IMPORT),
    "UnreadableFile": (0, IMPORT),
    "fail_job": (1, IMPORT),
    "add_rows": (0, READ_SUMMARY),
    "_note": (0, READ_SUMMARY),
    "make_error_body": (0, REQUEST),
    "HttpError": (1, REQUEST),
    "NotPermitted": (0, REQUEST),
    "TransitionNotAllowed": (1, REQUEST),
    "AuthenticationFailed": (1, REQUEST),
    "PermissionDenied": (1, REQUEST),
    "APIException": (1, REQUEST),
    "ValidationError": (1, REQUEST | FIELD),
    "ErrorDetail": (1, REQUEST | FIELD),
}
CODE_KEYWORDS = {"code": ALL, "error_code": IMPORT}
# Names of mappings and of sequences that hold codes.
CODE_CONSTANT = re.compile(r"[A-Z_]*(ERROR_CODES?|LIMIT_CODES|DETECTION_RULES|NOTES)")
# Names of functions that return a code.
CODE_FUNCTION = re.compile(r"(_error|_reason)$")
# Modules that list codes, and one whose errors are those of a form on a page.
IGNORED_MODULES = {
    "imports/error_codes.py",
    "imports/error_messages.py",
    "config/second_factor.py",
}


def list_modules():
    for package in ("imports", "customers", "config"):
        for path in sorted((PROJECT / package).rglob("*.py")):
            if "migrations" not in path.parts:
                name = str(path.relative_to(PROJECT))
                if name not in IGNORED_MODULES:
                    yield name, ast.parse(path.read_text())


def list_constants(node):
    """Return the texts that an expression can be: both branches of a condition."""
    if isinstance(node, ast.IfExp):
        return list_constants(node.body) + list_constants(node.orelse)
    is_text = isinstance(node, ast.Constant) and isinstance(node.value, str)
    return [node.value] if is_text else []


def find_codes(tree):
    """Yield each code in the source code with the codes that are allowed in its place."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            function = node.func
            name = (
                function.attr
                if isinstance(function, ast.Attribute)
                else getattr(function, "id", "")
            )
            if name in CODE_ARGUMENTS:
                position, allowed = CODE_ARGUMENTS[name]
                for argument in node.args[position : position + 1]:
                    yield from ((code, allowed) for code in list_constants(argument))
            for keyword in node.keywords:
                if allowed := CODE_KEYWORDS.get(keyword.arg):
                    yield from ((code, allowed) for code in list_constants(keyword.value))
        elif isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                if key is not None and list_constants(key) == ["code"]:
                    yield from ((code, ALL) for code in list_constants(value))
        elif isinstance(node, ast.Tuple) and len(node.elts) == 2:
            first, second = node.elts
            is_problem = isinstance(second, ast.Dict) or getattr(second, "id", "") == "params"
            if is_problem:  # A problem of a column mapping.
                yield from ((code, set(MAPPING_MESSAGES)) for code in list_constants(first))
        elif isinstance(node, ast.FunctionDef) and CODE_FUNCTION.search(node.name):
            returns = [each.value for each in ast.walk(node) if isinstance(each, ast.Return)]
            yield from ((code, ALL) for value in returns for code in list_constants(value))
        elif isinstance(node, ast.Assign | ast.AnnAssign) and node.value:
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            target_name = getattr(target, "id", "")
            if target_name == "default_code":
                yield from ((code, REQUEST) for code in list_constants(node.value))
            elif CODE_CONSTANT.fullmatch(target_name):
                yield from ((code, ALL) for code in list_codes_of_constant(node.value))


def list_codes_of_constant(node):
    """Return the codes of a mapping (its values, or else its keys) or of a sequence."""
    if isinstance(node, ast.Dict):
        values = [code for value in node.values for code in list_codes_of_constant(value)]
        return values or [code for key in node.keys for code in list_constants(key)]
    if isinstance(node, ast.Tuple | ast.List | ast.Set):
        # In a tuple, the code comes before the name of a parameter.
        elements = node.elts[:1] if isinstance(node, ast.Tuple) else node.elts
        return [code for element in elements for code in list_constants(element)]
    return list_constants(node) if isinstance(node, ast.Constant) else []


def test_every_code_that_is_raised_is_registered():
    unknown, found = defaultdict(set), set()
    for module, tree in list_modules():
        for code, allowed in find_codes(tree):
            if not CODE.fullmatch(code):
                continue
            found.add(code)
            if code not in allowed:
                unknown[module].add(code)

    assert not unknown, f"Add these codes to imports/error_codes.py or error_messages: {unknown}"
    # The search finds codes of each kind, in each of the ways to raise them.
    assert len(found) > 90
    assert found >= {
        "column_used_twice",
        "file_deleted",
        "invalid_host",
        "vcard_file",
        "percentage_in_text",
        "too_many_digits",
        "crashed_reader",
        "crashed_worker",
        "hidden_row",
        "total_row",
        "nothing_to_change",
        "phone_too_short",
    }


def test_every_registered_code_of_imports_and_rows_is_raised():
    # Codes also stand in SQL, and in tuples of the reader process.
    texts = {
        node.value
        for _, tree in list_modules()
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    words = {word for text in texts for word in re.findall(r"[a-z_]+", text)}
    assert IMPORT | ROW | READ_SUMMARY | set(MAPPING_MESSAGES) <= words


def list_request_serializers():
    for name in ("imports.api.serializers", "imports.api.token_views", "customers.api.serializers"):
        for each in vars(import_string_module(name)).values():
            if isinstance(each, type) and issubclass(each, serializers.Serializer):
                yield each


def import_string_module(name):
    return __import__(name, fromlist=["*"])


def test_every_code_of_a_field_of_a_request_is_registered():
    codes = {}
    for serializer in list_request_serializers():
        for name, field in serializer().get_fields().items():
            if field.read_only:
                continue
            used = {code for code in field.error_messages if is_possible(field, code)}
            used |= {validator.code for validator in field.validators if hasattr(validator, "code")}
            for code in used - FIELD:
                codes[code] = f"{serializer.__name__}.{name}"
    assert codes == {}


def is_possible(field, code):
    """Whether a field can raise a code of its class."""
    if code in {"max_value", "min_value", "max_length", "min_length"}:
        return getattr(field, code, None) is not None
    return True


def test_parameters_of_known_codes_only():
    assert error_codes.ROW_PARAMETERS.keys() <= get_names(error_codes.list_row_codes())
    assert error_codes.READ_SUMMARY_PARAMETERS.keys() <= READ_SUMMARY


@pytest.mark.parametrize(
    "code",
    [
        *error_codes.list_request_codes(),
        *error_codes.list_field_codes(),
        *error_codes.list_import_codes(),
        *error_codes.list_row_codes(list_importers()),
        *error_codes.list_read_summary_codes(),
    ],
    ids=lambda code: code.name,
)
def test_every_code_has_a_sentence_whose_parameters_have_types(code):
    assert code.message.endswith(".")
    if code.name not in JOB_MESSAGES.keys() | MAPPING_MESSAGES.keys():  # Sent without parameters.
        assert set(re.findall(r"%\((\w+)\)s", code.message)) <= code.parameters.keys()
    assert all(schema["type"] for schema in code.parameters.values())

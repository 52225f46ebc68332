"""What the vendors say of schemas for their strict modes, checked independently of the code that rewrites schemas."""

FORMATS = {"date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"}
NUMBERS = {"multipleOf", "maximum", "exclusiveMaximum", "minimum", "exclusiveMinimum"}


def nodes(schema):
    """Yield every schema inside a schema, itself included."""
    yield schema
    for key in ("properties", "$defs"):
        for item in schema.get(key, {}).values():
            yield from nodes(item)
    for item in schema.get("anyOf", []):
        yield from nodes(item)
    if "items" in schema:
        yield from nodes(schema["items"])


def kinds(node):
    kind = node.get("type", [])
    return kind if isinstance(kind, list) else [kind]


def check_shared(schema, allowed):
    assert schema["type"] == "object"
    for node in nodes(schema):
        assert node.keys() <= allowed | {"type", "properties", "required", "additionalProperties", "items"}, node
        assert kinds(node) or "anyOf" in node or "$ref" in node, node
        if "$ref" in node:
            assert node.keys() == {"$ref"}
            assert node["$ref"].removeprefix("#/$defs/") in schema["$defs"]
        if "object" in kinds(node):
            assert node["additionalProperties"] is False
            assert set(node["required"]) <= set(node["properties"])
        if "array" in kinds(node):
            assert node["items"]


def check_openai(schema):
    """https://developers.openai.com/api/docs/guides/structured-outputs#supported-schemas, as quoted on 2026-11-26."""
    check_shared(
        schema,
        {"anyOf", "$ref", "$defs", "enum", "description", "pattern", "format", "minItems", "maxItems"} | NUMBERS,
    )
    properties = 0
    for node in nodes(schema):
        if "object" in kinds(node):
            assert sorted(node["required"]) == sorted(node["properties"])
            properties += len(node["properties"])
        assert node.get("format", "date") in FORMATS
    assert properties <= 5000
    assert sum(len(node.get("enum", [])) for node in nodes(schema)) <= 1000


def check_plain(schema):
    """No limits on values, and `anyOf` of at most 5 instead of a list of types, which Cerebras refuses.

    https://inference-docs.cerebras.ai/capabilities/structured-outputs (search excerpt, 2026-11-26).
    """
    check_openai(schema)
    check_shared(schema, {"anyOf", "$ref", "$defs", "enum", "description"})
    for node in nodes(schema):
        assert not isinstance(node.get("type"), list)
        assert len(node.get("anyOf", [])) <= 5
    check_not_recursive(schema)


def check_anthropic(schema):
    """https://platform.claude.com/docs/en/build-with-claude/structured-outputs, as quoted on 2026-11-26."""
    check_shared(schema, {"anyOf", "$ref", "$defs", "enum", "description", "format", "minItems"})
    for node in nodes(schema):
        assert node.get("minItems", 0) in (0, 1)
        assert node.get("format", "uri") in FORMATS | {"uri"}
    check_not_recursive(schema)


def check_not_recursive(schema):
    uses = {
        name: {n["$ref"].rpartition("/")[2] for n in nodes(d) if "$ref" in n}
        for name, d in schema.get("$defs", {}).items()
    }

    def reach(name, path):
        assert name not in path, f"{name} refers to itself"
        for used in uses[name]:
            reach(used, (*path, name))

    for name in uses:
        reach(name, ())

"""What the checker says of an attribute by itself."""

from __future__ import annotations

from conformance.cases import Case, chat, check_chat, each, each_profile, lines, missing
from conformance.checker import check_spans


@each_profile
@each(
    [
        Case(
            "an attribute that the conventions once had",
            ["violation deprecated_attribute gen_ai.system"],
            {"gen_ai.system": "openai"},
        ),
        Case(
            "an attribute that the core conventions once had",
            ["violation deprecated_attribute http.method"],
            {"http.method": "GET"},
        ),
        Case(
            "a name of the conventions that they do not know",
            ["violation unknown_attribute gen_ai.request.mood"],
            {"gen_ai.request.mood": "good"},
        ),
        Case(
            "the same for a single provider",
            ["violation unknown_attribute openai.mood"],
            {"openai.mood": "good"},
        ),
        Case(
            "a template without what follows it",
            ["violation unknown_attribute gen_ai.prompt.variable"],
            {"gen_ai.prompt.variable": "v"},
        ),
        Case(
            "no template with what follows it",
            ["violation unknown_attribute gen_ai.response.id.city"],
            {"gen_ai.response.id.city": "Berlin"},
        ),
        Case("a template with what follows it", [], {"gen_ai.prompt.variable.city": "Berlin"}),
        Case(
            "a template's value",
            ["violation wrong_type gen_ai.prompt.variable.city"],
            {"gen_ai.prompt.variable.city": 5},
        ),
        Case("a vendor's own attribute", ["info vendor_attribute thread.id_"], {"thread.id_": 1}),
        Case("an attribute of the core conventions", [], {"thread.id": 1}),
        Case(
            "an attribute of the core conventions with another type",
            ["violation core_type_conflict thread.id"],
            {"thread.id": "t-1"},
        ),
        Case("a template of the core conventions", [], {"http.request.header": ["a"]}),
        Case("a string", [], {"gen_ai.response.id": "r-2"}),
        Case(
            "no string",
            ["violation wrong_type gen_ai.response.id"],
            {"gen_ai.response.id": 5},
        ),
        Case(
            "an empty string",
            ["warning empty_value gen_ai.response.id"],
            {"gen_ai.response.id": ""},
        ),
        Case("an int", [], {"gen_ai.request.max_tokens": 5}),
        Case(
            "a double for an int",
            ["violation wrong_type gen_ai.request.max_tokens"],
            {"gen_ai.request.max_tokens": 5.0},
        ),
        Case(
            "a boolean for an int",
            ["violation wrong_type gen_ai.request.max_tokens"],
            {"gen_ai.request.max_tokens": True},
        ),
        Case("a double", [], {"gen_ai.request.temperature": 1.0}),
        Case(
            "an int for a double",
            ["violation wrong_type gen_ai.request.temperature"],
            {"gen_ai.request.temperature": 1},
        ),
        Case("a boolean", [], {"gen_ai.request.stream": True}),
        Case(
            "no boolean",
            ["violation wrong_type gen_ai.request.stream"],
            {"gen_ai.request.stream": "true"},
        ),
        Case("a list of strings", [], {"gen_ai.request.stop_sequences": ["a", "b"]}),
        Case("a tuple of strings", [], {"gen_ai.request.stop_sequences": ("a", "b")}),
        Case("an empty list", [], {"gen_ai.request.stop_sequences": []}),
        Case(
            "no list",
            ["violation wrong_type gen_ai.request.stop_sequences"],
            {"gen_ai.request.stop_sequences": "a"},
        ),
        Case(
            "a list of something else",
            ["violation wrong_type gen_ai.request.stop_sequences"],
            {"gen_ai.request.stop_sequences": ["a", 1]},
        ),
        Case("a well-known value", [], {"gen_ai.output.type": "json"}),
        Case(
            "another value",
            ["warning unknown_enum_member gen_ai.output.type"],
            {"gen_ai.output.type": "yaml"},
        ),
        Case(
            "nearly a well-known value",
            ["violation enum_near_miss gen_ai.output.type"],
            {"gen_ai.output.type": "JSON"},
        ),
        Case(
            "nearly a well-known value, by its dashes",
            ["violation enum_near_miss openai.api.type"],
            {"openai.api.type": "chat-completions"},
        ),
        Case(
            "another service tier",
            ["info unknown_enum_member openai.request.service_tier"],
            {"openai.request.service_tier": "flex"},
        ),
    ]
)
def test_an_attribute(case: Case, profile: str) -> None:
    stream = case.attributes.get("gen_ai.request.stream") is True
    late = missing("gen_ai.response.time_to_first_chunk") if stream else []
    assert check_chat(case, profile) == case.found + late


def test_what_a_finding_says_of_an_attribute() -> None:
    span = chat(
        {
            "gen_ai.system": "openai",
            "gen_ai.request.top_p": "x" * 80,
            "gen_ai.output.type": "Json",
            "thread.id": "t-1",
        }
    )
    details = {one.key: one.detail for one in check_spans([span])}
    assert details["gen_ai.system"].startswith("uncategorized: Replaced by `gen_ai.provider.name`")
    assert len(details["gen_ai.system"]) == 140
    assert details["gen_ai.request.top_p"] == f"expected double, got str {'x' * 60!r}"
    assert details["gen_ai.output.type"] == "'Json', well-known value is 'json'"
    assert details["thread.id"] == "core type int, got str"


@each_profile
def test_what_only_one_profile_knows(profile: str) -> None:
    written, created = (f"gen_ai.usage.cache_{name}.input_tokens" for name in ("write", "creation"))
    found = lines(check_spans([chat({written: 3, created: 3})], profile))
    assert (
        found
        == {
            "main": [f"violation deprecated_attribute {created}"],
            "2026-08": [f"violation unknown_attribute {written}"],
        }[profile]
    )

"""The suites that are run: what each is a release of, and what its tests need.

The tests are those of the source distribution. Where newer ones have none, as those of pydantic-ai,
the suite is that of the last one that has them, with what was current then.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

#: What every suite needs: pytest, and a limit for tests that wait for a network.
PYTEST = ("pytest>=8.3", "pytest-timeout")


@dataclass(frozen=True)
class Suite:
    """Another project's tests.

    Attributes:
        requirement: The release, the newest that matches.
        needs: What else is installed for the tests.
        extras: Extras of the release itself.
        tests: Where the tests are, below the root of the source.
        arguments: Further arguments for pytest.
        environment: Variables of the environment. `{server}` is the address of the stand-in.
        is_installed: Whether the source is installed; otherwise `needs` names what is.
    """

    requirement: str
    needs: tuple[str, ...]
    extras: tuple[str, ...] = ()
    tests: str = "tests"
    arguments: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    is_installed: bool = True

    @property
    def package(self) -> str:
        """The name of the package."""
        return self.requirement.partition("<")[0].partition(">")[0]


_OPENAI = (
    "azure-identity",
    "botocore",
    "inline-snapshot",
    "pillow",
    "pytest-asyncio",
    "rich",
    "trio",
)
#: What the older clients' tests need besides.
_OLDER = (
    *_OPENAI,
    "dirty-equals",
    "griffe<2",
    "importlib-metadata",
    "jsonschema",
    "nest-asyncio==1.6.0",
    "respx",
    "time-machine",
)
_STAND_IN = {"TEST_API_BASE_URL": "{server}"}
_OTEL = ("asgiref", "flaky", "opentelemetry-sdk", "opentelemetry-test-utils", "psutil")

SUITES: Mapping[str, Suite] = {
    "openai-3": Suite(
        "openai<4", (*_OPENAI, "griffe"), ("aiohttp", "realtime"), environment=_STAND_IN
    ),
    "openai-2": Suite("openai<3", _OLDER, ("aiohttp", "realtime"), environment=_STAND_IN),
    "openai-1": Suite("openai<2", _OLDER, ("aiohttp", "realtime"), environment=_STAND_IN),
    "openai-agents": Suite(
        "openai-agents",
        (
            "aiosqlite",
            "cryptography",
            "fakeredis",
            "fastapi",
            "graphviz",
            "httpx",
            "inline-snapshot",
            "pytest-asyncio",
            "pytest-mock",
            "rich",
        ),
        ("encrypt", "realtime", "redis", "sqlalchemy", "voice"),
        environment={"OPENAI_API_KEY": "sk-test"},
    ),
    "langchain-openai": Suite(
        "langchain-openai",
        (
            "freezegun",
            "langchain",
            "langchain-tests",
            "numpy",
            "pytest-asyncio",
            "pytest-cov",
            "pytest-mock",
            "pytest-retry",
            "pytest-socket",
            "pytest-watcher",
            "syrupy",
            "vcrpy",
        ),
        tests="tests/unit_tests",
    ),
    "instructor": Suite(
        "instructor",
        (
            "anthropic",
            "httpx",
            "jsonref",
            "pytest-asyncio",
            "pytest-examples",
            "python-dotenv",
            "xmltodict",
        ),
        arguments=("--ignore=tests/llm", "--ignore=tests/docs"),  # these ask vendors
        environment={"OPENAI_API_KEY": "sk-test"},
    ),
    "pydantic-ai": Suite(
        "pydantic-ai<1.24",
        (
            "anthropic",
            "dirty-equals",
            "genai-prices==0.0.40",
            "inline-snapshot",
            "openai<3",
            "opentelemetry-sdk==1.39.*",
            "pydantic-ai-slim[google,logfire,openai]<1.24",
            "pytest-mock",
            "pytest-recording",
            "trio",
        ),
        arguments=(
            "--inline-snapshot=disable",  # it takes a while to say what it would change
            # OpenTelemetry says this while it is imported.
            "--pythonwarnings=ignore:You should use:DeprecationWarning",
            "-k=openai or openrouter or deepseek",  # the others ask other clients
        ),
        tests="tests/models",
        environment={"OPENAI_API_KEY": "sk-test"},
        is_installed=False,  # that would need the clients of every vendor
    ),
    "opentelemetry-sdk": Suite("opentelemetry-sdk", _OTEL, ("file-configuration",)),
    "opentelemetry-api": Suite("opentelemetry-api", _OTEL),
    "starlette": Suite(
        "starlette",
        ("blockbuster", "httpx2[zstd]", "importlib-metadata", "opentelemetry-sdk", "trio"),
        ("full",),
    ),
}

"""What `configure()` says where it cannot do what is asked. What it does is shown end to end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from stand_ins.otlp_receiver import OtlpReceiver
from support.programs import run_program

from orq_otel import Thread, configure, use_labels
from orq_otel.labels import attributes as labels

BLOCKED_SDK = """
import sys
sys.modules["opentelemetry.sdk.trace"] = None
import orq_otel
try:
    orq_otel.configure()
except ImportError as error:
    print(error)
"""
UNKNOWN_PROTOCOL = """
import orq_otel
try:
    orq_otel.configure(protocol="http/json")
except ValueError as error:
    print(error)
"""
UNKNOWN_EXPORTER = """
import logging, os
logging.basicConfig(format="%(message)s")
os.environ["OTEL_TRACES_EXPORTER"] = "zipkin"
import orq_otel
orq_otel.configure().shutdown()
"""
REFUSED_BY_THE_SDK = """
import logging, os
logging.basicConfig(format="%(message)s")
os.environ["OTEL_PYTHON_EXPORTER_OTLP_HTTP_CREDENTIAL_PROVIDER"] = "no-such-one"
import orq_otel
handle = orq_otel.configure()
print(orq_otel.OpenAIInstrumentor().is_instrumented_by_opentelemetry)
handle.shutdown()
"""
AFTER_THE_END = """
import logging, os
logging.basicConfig(format="%(message)s")
os.environ["OTEL_TRACES_EXPORTER"] = "console"
from opentelemetry import trace
import orq_otel
orq_otel.configure()
trace.get_tracer_provider().shutdown()
for _ in range(2):
    trace.get_tracer("own").start_span("late").end()
"""
OTHER_PROVIDER = """
import logging, os
logging.basicConfig(format="%(message)s")
from opentelemetry import trace
trace.set_tracer_provider(trace.NoOpTracerProvider())
import orq_otel
handle = orq_otel.configure()
handle.shutdown()
"""
TWICE = """
import os
os.environ["OTEL_TRACES_EXPORTER"] = "none"
import orq_otel
first = orq_otel.configure()
assert orq_otel.configure(service_name="other") is first
assert first.force_flush() is True
first.shutdown()
first.shutdown()
again = orq_otel.configure()
assert again is not first
first.shutdown()
assert orq_otel.OpenAIInstrumentor().is_instrumented_by_opentelemetry
again.shutdown()
print("done")
"""
INSTRUMENTED_BEFORE = """
import os
os.environ["OTEL_TRACES_EXPORTER"] = "none"
import orq_otel
orq_otel.OpenAIInstrumentor().instrument()
orq_otel.configure().shutdown()
print(orq_otel.OpenAIInstrumentor().is_instrumented_by_opentelemetry)
"""
INTERRUPTED = """
import os, signal, threading
os.environ["OTEL_TRACES_EXPORTER"] = "none"
import orq_otel
orq_otel.configure()
class SoftTimeLimit(Exception): ...
def handle(*_): raise SoftTimeLimit
signal.signal(signal.SIGALRM, handle)
for number in range(1500):
    try:
        signal.setitimer(signal.ITIMER_REAL, 3e-5 + number * 37 % 601 * 1e-7)
        while True:
            orq_otel.configure()
    except SoftTimeLimit:
        pass
other = threading.Thread(target=orq_otel.configure, daemon=True)
other.start()
other.join(30)
print("waits" if other.is_alive() else "done", flush=True)
os._exit(0)
"""
WRONG_CLIENT = """
import os
os.environ["OTEL_TRACES_EXPORTER"] = "none"
import orq_otel
orq_otel.OpenAIInstrumentor.requirement = "openai < 1"
orq_otel.configure()
print(orq_otel.OpenAIInstrumentor().is_instrumented_by_opentelemetry)
"""

#: As in a frozen program, which has the modules alone that are imported by statements.
WITHOUT_PROBES = """
import logging, os, sys
logging.basicConfig(format="%(message)s")
os.environ["OTEL_TRACES_EXPORTER"] = "none"
os.environ["ORQ_OTEL_DOCTOR_FOLDER"] = "."
sys.modules["orq_otel.setup.probes"] = None
import orq_otel
orq_otel.configure()
print(orq_otel.OpenAIInstrumentor().is_instrumented_by_opentelemetry)
"""
#: As a frozen program is: its modules are there, and what is known of distributions is left out,
#: but for those that a client asks for itself.
WITHOUT_METADATA = """
import logging, os, sys
from importlib.machinery import PathFinder
class Finder(PathFinder):
    @classmethod
    def find_distributions(cls, context):
        wanted = context.name in ("httpx2", "httpcore2")
        return super().find_distributions(context) if wanted else ()
sys.meta_path[sys.meta_path.index(PathFinder)] = Finder
logging.basicConfig(format="%(message)s")
os.environ["OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"] = "SPAN_AND_EVENT"
os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = "http://127.0.0.1:9"  # gets nothing
os.environ["OTEL_LOGS_EXPORTER"] = "otlp"
import orq_otel
orq_otel.configure()
import openai
print("SyncAPIClient.request" in orq_otel.OpenAIInstrumentor().wrapped)
print(orq_otel.doctor(reachable=False))
"""


@pytest.mark.parametrize(
    ("program", "said"),
    [
        (BLOCKED_SDK, 'pip install "orq-otel[otlp]"'),
        (UNKNOWN_PROTOCOL, 'takes the protocol "http/protobuf" or "grpc", got \'http/json\''),
        (UNKNOWN_EXPORTER, '"otlp", "console" and "none", not \'zipkin\''),
        (REFUSED_BY_THE_SDK, "configure() exports no traces: making an exporter failed with"),
        (REFUSED_BY_THE_SDK, "True"),
        (AFTER_THE_END, "A span ended after its provider was shut down, and goes nowhere."),
        (OTHER_PROVIDER, "the tracer provider NoOpTracerProvider takes no span processors"),
        (TWICE, "done"),
        (INSTRUMENTED_BEFORE, "True"),
        (WRONG_CLIENT, "False"),
        (WITHOUT_PROBES, "True"),
        (WITHOUT_PROBES, "failed while switching on the doctor's probes"),
    ],
    ids=[
        "no SDK",
        "unknown protocol",
        "unknown exporter",
        "a value that the SDK refuses",
        "instrumented nevertheless",
        "a span after the end",
        "foreign provider",
        "twice",
        "instrumented before",
        "another version of the client",
        "the doctor's probes are missing",
        "which is said",
    ],
)
def test_what_it_says(program: str, said: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )

    assert done.returncode == 0, done.stderr
    assert said in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_a_client_without_metadata_is_instrumented() -> None:
    command = [sys.executable, "-c", WITHOUT_METADATA]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    assert (done.returncode, done.stderr) == (0, "")
    is_wrapped, versions, *rest = done.stdout.replace("\n    ", " ").splitlines()
    assert is_wrapped == "True"
    assert "opentelemetry-sdk (version unknown), openai (version unknown)" in versions
    assert "  openai (version unknown): instrumented" in rest
    assert rest[-1] == "All is well."


def test_a_file_with_the_name_of_a_client_is_none(tmp_path: Path) -> None:
    (tmp_path / "openai.py").write_text("def ask(): ...\n")
    until_imported, _, _ = WITHOUT_METADATA.partition("print(")
    is_on = "orq_otel.status()['clients']['openai']['is_instrumented']"
    done = run_program(f"{until_imported}openai.ask()\nprint({is_on})", tmp_path)

    assert (done.stdout, done.stderr) == ("False\n", "")


def test_a_finder_of_others_that_fails_is_theirs(tmp_path: Path) -> None:
    program = """
from importlib.machinery import PathFinder
import sys
import orq_otel
class Failing(PathFinder):
    @classmethod
    def find_spec(cls, name, *args):
        raise RuntimeError(name)
    @classmethod
    def find_distributions(cls, context):
        return ()
import opentelemetry.instrumentation.instrumentor, orq_otel.openai.instrumentor
sys.meta_path[:] = [Failing]
print(orq_otel.OpenAIInstrumentor().instrumentation_dependencies())
"""
    assert run_program(program, tmp_path).stdout == "('openai >= 1.26, < 4',)\n"


@pytest.mark.skipif(
    not hasattr(signal, "setitimer"), reason="this machine has no timers that send signals"
)
def test_no_lock_stays_taken_where_a_signal_handler_raises() -> None:
    """With a with statement one would, on Python 3.14."""
    test_what_it_says(INTERRUPTED, "done")


WITHOUT_WRONG_VARIABLES = """
import logging, os, sys
logging.basicConfig(format="%(message)s")
environment = dict(os.environ)
import orq_otel
from opentelemetry import trace
orq_otel.configure(endpoint=sys.argv[1])
handle = orq_otel.configure()
with orq_otel.thread("t-1"):
    trace.get_tracer("own").start_span("own").end()
assert handle.force_flush()
assert dict(os.environ) == environment
print([(one.code, one.details) for one in orq_otel.doctor(reachable=False).problems])
handle.shutdown()
"""


@pytest.mark.one_in(2)
@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("OTEL_PROPAGATORS", "trecaontext", "a list of propagators that are installed, or none"),
        ("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "abc", "a whole number"),
        ("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "-1", "a whole number"),
        ("OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT", "1.5", "a whole number"),
        ("OTEL_PYTHON_TRACER_PROVIDER", "mine", "a name that an installed package has"),
        ("OTEL_BSP_SCHEDULE_DELAY", "-1", "a whole number above 0"),
    ],
)
def test_a_variable_with_which_opentelemetry_fails(name: str, value: str, said: str) -> None:
    with OtlpReceiver() as receiver:
        done = subprocess.run(
            [sys.executable, "-c", WITHOUT_WRONG_VARIABLES, receiver.url],
            env={**os.environ, name: value},
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        (span,) = receiver.spans

    sentence = f"{name} is {said}, not {value!r}."
    assert span.attributes["thread.id"] == "t-1"
    assert [line for line in done.stderr.splitlines() if "[ORQ-" in line] == [
        f"{sentence} What is wrong in it is left out. [ORQ-S01]"
    ]
    assert done.stdout == f"{[('ORQ-S01', sentence)]}\n"


def test_what_is_right_in_a_list_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_PROPAGATORS", "orq_thread, jeager,tracecontext")
    program = """
import orq_otel, sys
orq_otel.configure
from opentelemetry import propagate
print(sorted(propagate.get_global_textmap().fields))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "['baggage', 'traceparent', 'tracestate']\n"


EXPORT = """
import sys
from opentelemetry import trace
import orq_otel
handle = orq_otel.configure(endpoint=sys.argv[1])
with orq_otel.thread("t-1"):
    trace.get_tracer("own").start_span("own").end()
assert handle.force_flush()
handle.shutdown()
"""


@pytest.mark.parametrize("path", ["", "/", "/v1/traces", "/v1/traces/"])
def test_an_endpoint_with_or_without_its_path(path: str) -> None:
    with OtlpReceiver() as receiver:
        subprocess.run([sys.executable, "-c", EXPORT, receiver.url + path], timeout=60, check=True)
        (span,) = receiver.spans

    assert span.attributes["thread.id"] == "t-1"


def test_labels_for_a_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "none")
    handle = configure(labels=["langfuse"])
    try:
        assert labels.labels(Thread("t-1"))["langfuse.session.id"] == "t-1"
    finally:
        handle.shutdown()
        use_labels()
    with pytest.raises(ValueError, match="langfuse"):
        configure(labels="langfus")

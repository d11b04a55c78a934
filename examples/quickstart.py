"""Several conversations with a model at once, each labelled as a thread of its own.

    python examples/quickstart.py

Nothing leaves this machine: small servers answer like the real APIs, and the viewer takes the
spans in over OTLP. The table that is printed shows what arrived, and below it stands what
`orq_otel.doctor()` says. The address at the end is that of the viewer's Threads page, which stays
until you press Enter. In a program of your own, two things
do the work: `configure()`, once, and `with thread(...)` around each conversation.

`--real` talks to the real API, with the key in OPENAI_API_KEY or ORQ_API_KEY. If the variable
OTEL_EXPORTER_OTLP_ENDPOINT names a collector, the spans are sent to that one as well.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from operator import mul
from typing import TypeAlias

from openai import OpenAIError
from openai.types.chat import ChatCompletionMessageParam
from openai.types.responses import FunctionToolParam, ResponseFunctionToolCall
from openai.types.responses.response_input_param import FunctionCallOutput
from opentelemetry import trace
from orq_conversation import take_an_order
from stand_ins.destinations import collector_variable, exporting_to, spare_loopback_from_proxies
from stand_ins.model_service import Service, explain, real_service, stand_in
from stand_ins.orq_service import OrqService, orq_stand_in, orqs_side
from stand_ins.otlp_receiver import OtlpReceiver, Span
from stand_ins.thread_table import thread_table
from stand_ins.threads_page import ThreadsPage, threads_page

from orq_otel import bind, doctor, thread

History: TypeAlias = list[ChatCompletionMessageParam]

tracer = trace.get_tracer("quickstart")

# ---- A block around a conversation --------------------------------------------------------------


def chat_with_support(service: Service) -> None:
    """Two turns in one thread; the second answer is streamed."""
    history: History = []
    with thread("support-42", tags=["support", "priority-high"]):
        ask(service, history, "My parcel is late. Where is it?")

        history.append({"role": "user", "content": "And when will it arrive?"})
        for _chunk in service.client.chat.completions.create(
            model=service.model,
            messages=history,
            stream=True,
            stream_options={"include_usage": True},
        ):
            pass  # a real program would show it


def ask(service: Service, history: History, question: str) -> None:
    """One turn. The program keeps the history itself: a thread is a label and stores nothing."""
    history.append({"role": "user", "content": question})
    answer = service.client.chat.completions.create(model=service.model, messages=history)
    history.append({"role": "assistant", "content": answer.choices[0].message.content})


async def plan_a_trip(service: Service) -> None:
    """The same in asyncio, here with the Responses API."""
    create = service.async_client.responses.create
    async with thread("trip-7", tags=["travel"]):
        plan = await create(model=service.model, input="Three days in Lisbon, by train?")
        await create(model=service.model, input="Any cheaper?", previous_response_id=plan.id)


# ---- A worker thread ----------------------------------------------------------------------------


def write_a_report(service: Service) -> None:
    """A worker starts outside every conversation: `bind` makes it part of the current one."""
    history: History = []
    with ThreadPoolExecutor() as pool, thread("report-2026-08", tags=["nightly"]):
        pool.submit(bind(ask), service, history, "Draft the report for August.").result()
        pool.submit(bind(ask), service, history, "Make it half as long.").result()


# ---- A handler, with a retrieval and a tool -----------------------------------------------------

FAQ = ["Refunds take three days.", "Parcels are insured up to 500 euros."]

REFUND_STATUS: FunctionToolParam = {
    "type": "function",
    "name": "refund_status",
    "description": "Look up how far the refund for an order has got.",
    "parameters": {
        "type": "object",
        "properties": {"order_id": {"type": "string"}},
        "required": ["order_id"],
        "additionalProperties": False,
    },
    "strict": True,
}


def write_about_a_refund(service: Service) -> None:
    """A customer writes twice about one ticket."""
    first = answer_ticket(service, 1077, "priority-low", "Where is my refund for order A-31?")
    answer_ticket(service, 1077, "priority-low", "And the one for order A-32?", first)


@thread("ticket-{ticket_id}", tags=["support", "{priority}"])
def answer_ticket(
    service: Service, ticket_id: int, priority: str, question: str, previous: str | None = None
) -> str:
    """The thread is filled in from the arguments. Spans of your own become part of it as well."""
    create = service.client.responses.create
    with tracer.start_as_current_span("answer ticket"):
        facts = retrieve(service, question)
        response = create(
            model=service.model,
            instructions=f"You answer ticket {ticket_id}, which has {priority}.",
            input=f"{question}\n\n{facts}",
            tools=[REFUND_STATUS],
            previous_response_id=previous,
        )
        calls = [item for item in response.output if item.type == "function_call"]
        if calls:
            response = create(
                model=service.model,
                input=[run_tool(call) for call in calls],
                previous_response_id=response.id,
            )
    return response.id


def retrieve(service: Service, question: str) -> str:
    """Find the entry of the FAQ that is closest to the question."""
    attributes = {"gen_ai.operation.name": "retrieval", "gen_ai.data_source.id": "faq"}
    with tracer.start_as_current_span("retrieval faq", attributes=attributes):
        result = service.client.embeddings.create(
            model=service.embedding_model, input=[question, *FAQ]
        )
        asked, *entries = [one.embedding for one in result.data]
        closeness = [sum(map(mul, asked, entry)) for entry in entries]
        return FAQ[closeness.index(max(closeness))]


def run_tool(call: ResponseFunctionToolCall) -> FunctionCallOutput:
    """Do what the model asks for."""
    attributes = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": call.name}
    with tracer.start_as_current_span(f"execute_tool {call.name}", attributes=attributes):
        order_id = json.loads(call.arguments)["order_id"]
        result = json.dumps({"order_id": order_id, "status": "paid out on 3 August"})
    return {"type": "function_call_output", "call_id": call.call_id, "output": result}


# ---- All at once --------------------------------------------------------------------------------


def check_connection(service: Service) -> None:
    """A call outside every thread has its span, but belongs to no conversation."""
    service.client.embeddings.create(model=service.embedding_model, input="Hello?")


async def talk(service: Service, orq: OrqService | None) -> list[OpenAIError]:
    """Hold all conversations at the same time, so that their spans are mixed up when they leave."""
    with_orq = [] if orq is None else [asyncio.to_thread(take_an_order, orq)]
    results = await asyncio.gather(
        *with_orq,
        asyncio.to_thread(check_connection, service),
        asyncio.to_thread(chat_with_support, service),
        asyncio.to_thread(write_about_a_refund, service),
        asyncio.to_thread(write_a_report, service),
        plan_a_trip(service),
        return_exceptions=True,
    )
    await service.async_client.close()
    service.client.close()
    errors: list[OpenAIError] = []
    for result in results:
        if isinstance(result, OpenAIError):
            errors.append(result)
        elif result is not None:
            raise result
    return errors


def main() -> int:
    """Talk, and show what arrived."""
    parser = argparse.ArgumentParser(description="Hold several conversations at once, as threads.")
    parser.add_argument("--real", action="store_true", help="talk to the real API")
    parser.add_argument("--model", help="the model to talk to")
    parser.add_argument(
        "--wait",
        action=argparse.BooleanOptionalAction,
        default=sys.stdin.isatty() and sys.stdout.isatty(),
        help="keep the Threads page until Enter is pressed (by default in a terminal)",
    )
    options = parser.parse_args()

    spare_loopback_from_proxies()
    orq: OrqService | None = None  # a real one would need a Deployment and an Agent of yours
    with ExitStack() as stack:
        if options.real:
            service = real_service(os.environ, options.model)
            if service is None:
                parser.error("--real needs a key in OPENAI_API_KEY or ORQ_API_KEY.")
        else:
            service = stack.enter_context(stand_in(options.model))
            orq = stack.enter_context(orq_stand_in())
        receiver = stack.enter_context(OtlpReceiver())
        page = stack.enter_context(threads_page())
        endpoints = [receiver.endpoint, *([page.endpoint] if page else [])]
        with exporting_to(*endpoints, capture_content=capture_content(real=options.real)):
            errors = asyncio.run(talk(service, orq))
            report = doctor()

        print(f"Talked to {service.model} at {service.host}. This arrived over OTLP:\n")
        print(thread_table(receiver.spans))
        if orq is not None:
            print(f"\n{orqs_side(orq.server)}")
        print(f"\n{next_step(receiver.spans)}")
        print(f"\nWhat the doctor says of this set-up:\n\n{report}\n")
        for reason in dict.fromkeys(explain(error, service) for error in errors):
            print(reason, file=sys.stderr)
        if receiver.spans:
            show(page, wait=options.wait)
    return 1 if errors else 0


def capture_content(*, real: bool) -> bool | None:
    """Whether messages go along with the spans: these here are made up, and stay here."""
    if real or "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT" in os.environ:
        return None  # as the variable says, and without it they stay in the program
    return True


def next_step(spans: list[Span]) -> str:
    """What to try after this."""
    if not spans:
        return "Nothing arrived. Do OTEL_SDK_DISABLED or OTEL_TRACES_SAMPLER hold the spans back?"
    variable = collector_variable()
    if variable is None:
        return "Next: set OTEL_EXPORTER_OTLP_ENDPOINT to see these threads in your own collector."
    return f"Sent to the collector in {variable} as well: group its spans by thread.id."


def show(page: ThreadsPage | None, *, wait: bool) -> None:
    """Say where the Threads page is, and keep it there for as long as is wanted."""
    if page is None:
        print('To see them in a browser, too: pip install "orq-otel[viewer]"')
    elif not wait:
        print(f"Threads page: {page.url} (it ends with this program; --wait keeps it)")
    else:
        print(f"Threads page: {page.url} (press Enter to end it)", flush=True)
        try:
            sys.stdin.readline()
        except KeyboardInterrupt:
            print()


if __name__ == "__main__":
    sys.exit(main())

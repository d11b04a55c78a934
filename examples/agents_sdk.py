"""An agent of the OpenAI Agents SDK, with a tool and a session."""

import asyncio

from agents import Agent, Runner, SQLiteSession, function_tool, set_tracing_disabled

from orq_otel import configure, thread

configure(service_name="agents-sdk")
set_tracing_disabled(disabled=True)  # its own tracing sends to OpenAI


@function_tool
def refund_status(order_id: str) -> str:
    """Look up how far the refund for an order has got."""
    return f"The refund for {order_id} was paid out on 3 August."


agent = Agent(
    name="Support", instructions="You help customers.", model="gpt-5-mini", tools=[refund_status]
)


@thread("{session.session_id}", tags=["agent"])
async def ask(session: SQLiteSession, question: str) -> str:
    """The session keeps the history, and its id is the thread's."""
    result = await Runner.run(agent, question, session=session)
    return str(result.final_output)


async def main() -> None:
    """A conversation of two questions."""
    session = SQLiteSession("refund-31")
    await ask(session, "Where is my refund for order A-31?")
    await ask(session, "Thank you!")


asyncio.run(main())

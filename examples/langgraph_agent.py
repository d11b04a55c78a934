"""An agent of LangGraph with a tool: all that it does for a question is in one thread."""

from langchain.agents import create_agent
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.memory import InMemorySaver

from orq_otel import configure, thread

configure(service_name="langgraph-agent")


def refund_status(order_id: str) -> str:
    """Look up how far the refund for an order has got."""
    return f"The refund for {order_id} was paid out on 3 August."


agent = create_agent(
    ChatOpenAI(model="gpt-5-mini"), tools=[refund_status], checkpointer=InMemorySaver()
)


@thread("{conversation_id}", tags=["agent"])
def ask(conversation_id: str, question: str) -> str:
    """LangGraph keeps the history by `thread_id`, and orq-otel labels by the same id."""
    state = agent.invoke(
        {"messages": [{"role": "user", "content": question}]},
        {"configurable": {"thread_id": conversation_id}},
    )
    return str(state["messages"][-1].content)


ask("refund-31", "Where is my refund for order A-31?")
ask("refund-31", "Thank you!")

"""A server of the Model Context Protocol: `python mcp_server.py [accept] [details] [port]`.

Without a port it serves on its standard input and output.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import uvicorn

try:
    from mcp.server.mcpserver import Context, MCPServer
except ImportError:  # before version 2
    from mcp.server.fastmcp import Context
    from mcp.server.fastmcp import FastMCP as MCPServer
from mcp.types import SamplingMessage, TextContent

from orq_otel import current_thread, propagate_threads

server = MCPServer("test")


def now() -> dict[str, Any] | None:
    """The current thread."""
    thread = current_thread()
    return None if thread is None else thread.to_dict()


@server.tool()
def look(context: Context) -> str:
    """The thread of a tool, and the baggage that came with its request."""
    meta: Any = context.request_context.meta
    baggage = meta.get("baggage") if isinstance(meta, dict) else getattr(meta, "baggage", None)
    return json.dumps({"thread": now(), "baggage": baggage})


@server.tool()
async def ask(context: Context) -> str:
    """What the client answers to a request of the server's own."""
    message = SamplingMessage(role="user", content=TextContent(type="text", text="?"))
    answer: Any = await context.session.create_message([message], max_tokens=1)
    return str(answer.content.text)


if __name__ == "__main__":
    details = "details" in sys.argv
    propagate_threads(
        accept="accept" in sys.argv, mcp=True, user=details, metadata=["plan"] if details else ()
    )
    if sys.argv[-1].isdecimal():
        uvicorn.run(server.streamable_http_app(), port=int(sys.argv[-1]), log_level="warning")
    else:
        server.run()

"""A server of revision 2026-07-28 (and, by the same SDK, of the ones before): server_py.py PORT"""

from __future__ import annotations

import base64
import sys

from mcp.server.mcpserver import Context, Image, MCPServer

PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
server = MCPServer("interop")


@server.tool()
def test_simple_text() -> str:
    """Tests a simple text response."""
    return "This is a simple text response for testing."


@server.tool()
def test_image_content() -> Image:
    """Tests an image response."""
    return Image(data=PIXEL, format="png")


@server.tool()
def test_error_handling() -> str:
    """Tests an error response."""
    raise ValueError("This tool intentionally returns an error for testing")


@server.tool()
def echo(message: str) -> str:
    """Echoes."""
    return f"Echo: {message}"


@server.tool()
def forbidden() -> str:
    """Is granted to nobody."""
    return "should not be seen"


@server.tool()
async def test_tool_with_progress(ctx: Context) -> str:
    """Tests progress."""
    for step in (0, 50, 100):
        await ctx.report_progress(step, 100)
    return "done"


@server.resource("test://static-text")
def static_text() -> str:
    """A static text resource."""
    return "This is the content of the static text resource."


@server.resource("test://template/{id}/data")
def template(id: str) -> str:
    """A resource of a template."""
    return f'{{"id": "{id}"}}'


@server.prompt()
def test_simple_prompt() -> str:
    """A simple prompt."""
    return "This is a simple prompt for testing."


@server.prompt()
def test_prompt_with_arguments(arg1: str, arg2: str) -> str:
    """A prompt with arguments."""
    return f"Prompt with arguments: arg1='{arg1}', arg2='{arg2}'"


server.run(transport="streamable-http", host="127.0.0.1", port=int(sys.argv[1]))

"""A server of revision 2026-07-28 (and, by the same SDK, of the ones before): server_py.py PORT [TEXT]

TEXT is what the tool `echo` says of itself.
"""

from __future__ import annotations

import asyncio
import base64
import sys
from typing import Annotated, Any

import server_asks
from mcp.server.mcpserver import Context, Image, MCPServer
from mcp.server.mcpserver.prompts.base import UserMessage
from mcp_types import AudioContent, Completion, EmbeddedResource, ImageContent, TextContent, TextResourceContents
from pydantic import Field

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
def test_audio_content() -> AudioContent:
    """Tests an audio response."""
    return AudioContent(type="audio", data=base64.b64encode(b"RIFF$\0\0\0WAVE").decode(), mime_type="audio/wav")


def embedded(uri: str, mime_type: str, text: str) -> EmbeddedResource:
    """A resource inside a result."""
    return EmbeddedResource(type="resource", resource=TextResourceContents(uri=uri, mime_type=mime_type, text=text))


def picture() -> ImageContent:
    """A picture inside a result."""
    return ImageContent(type="image", data=base64.b64encode(PIXEL).decode(), mime_type="image/png")


@server.tool()
def test_embedded_resource() -> EmbeddedResource:
    """Tests an embedded resource."""
    return embedded("test://embedded-resource", "text/plain", "This is an embedded resource content.")


@server.tool(structured_output=False)
def test_multiple_content_types() -> list[Any]:
    """Tests several kinds of content."""
    text = TextContent(type="text", text="Multiple content types test:")
    return [text, picture(), embedded("test://mixed-content-resource", "application/json", '{"test":"data","value":123}')]


@server.tool()
async def test_tool_with_logging(ctx: Context) -> str:
    """Tests log messages."""
    for line in ("Tool execution started", "Tool processing data", "Tool execution completed"):
        await ctx.info(line)
        await asyncio.sleep(0.05)
    return "logged"


@server.tool()
async def test_reconnection(ctx: Context) -> str:
    """Ends the stream of its own reply under way."""
    await ctx.close_sse_stream()
    await asyncio.sleep(0.1)
    return "reconnected"


@server.tool()
def test_custom_headers(
    region: Annotated[str, Field(json_schema_extra={"x-mcp-header": "Region"})],
    amount: Annotated[int, Field(json_schema_extra={"x-mcp-header": "Amount"})] = 1,
) -> str:
    """Tests arguments that are repeated in headers."""
    return f"{region} {amount}"


@server.tool()
async def test_trigger_tool_change(ctx: Context) -> str:
    """Says that the tools have changed."""
    await ctx.notify_tools_changed()
    return "told"


@server.tool()
async def test_trigger_prompt_change(ctx: Context) -> str:
    """Says that the prompts have changed."""
    await ctx.notify_prompts_changed()
    return "told"


@server.tool()
def test_error_handling() -> str:
    """Tests an error response."""
    raise ValueError("This tool intentionally returns an error for testing")


@server.tool(description=sys.argv[2] if len(sys.argv) > 2 else "Echoes.")
def echo(message: str) -> str:
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


@server.resource("test://static-binary", mime_type="image/png")
def static_binary() -> bytes:
    """A static binary resource."""
    return PIXEL


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


@server.prompt()
def test_prompt_with_embedded_resource(resourceUri: str) -> list[UserMessage]:
    """A prompt with a resource."""
    return [UserMessage(content=embedded(resourceUri, "text/plain", "Embedded resource content for testing."))]


@server.prompt()
def test_prompt_with_image() -> list[UserMessage]:
    """A prompt with a picture."""
    return [UserMessage(content=picture())]


@server.completion()
async def complete(ref: object, argument: object, context: object) -> Completion:
    """Suggests a city."""
    return Completion(values=["paris"], total=1, has_more=False)


server_asks.add(server)
server.run(transport="streamable-http", host="127.0.0.1", port=int(sys.argv[1]))

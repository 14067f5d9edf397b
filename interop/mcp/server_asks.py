"""The tools of the fixture server that ask the agent something, in both revisions."""

from __future__ import annotations

from typing import Any, Literal

from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import (
    CreateMessageRequest,
    CreateMessageRequestParams,
    ElicitRequest,
    ElicitRequestFormParams,
    InputRequiredResult,
    ListRootsRequest,
    SamplingMessage,
    TextContent,
)
from pydantic import BaseModel, Field


class User(BaseModel):
    """What `test_elicitation` asks for."""

    username: str = Field(description="User's response")
    email: str = Field(description="User's email address")


class Defaults(BaseModel):
    """Each primitive with a default."""

    name: str = "John Doe"
    age: int = 30
    score: float = 95.5
    status: Literal["active", "inactive", "pending"] = "active"
    verified: bool = True


def form(message: str, **properties: str) -> ElicitRequest:
    """A question with these fields."""
    schema = {
        "type": "object",
        "properties": {name: {"type": kind} for name, kind in properties.items()},
        "required": list(properties),
    }
    return ElicitRequest(params=ElicitRequestFormParams(message=message, requested_schema=schema))


def sampling(text: str, tokens: int) -> CreateMessageRequest:
    """A question to the agent's model."""
    message = SamplingMessage(role="user", content=TextContent(type="text", text=text))
    return CreateMessageRequest(params=CreateMessageRequestParams(messages=[message], max_tokens=tokens))


def required(state: str | None = None, **requests: Any) -> InputRequiredResult:
    """What is asked inside a result."""
    return InputRequiredResult(input_requests=requests, request_state=state)


def answered(ctx: Context, *names: str) -> bool:
    """Whether all of these came back."""
    return all(name in (ctx.input_responses or {}) for name in names)


def add(server: MCPServer) -> None:
    """Adds them."""

    @server.tool()
    async def test_sampling(prompt: str, ctx: Context) -> str:
        """Asks the agent's model while the call runs."""
        message = SamplingMessage(role="user", content=TextContent(type="text", text=prompt))
        result = await ctx.session.create_message([message], max_tokens=100, related_request_id=ctx.request_id)
        return f"LLM response: {getattr(result.content, 'text', '')}"

    @server.tool()
    async def test_elicitation(message: str, ctx: Context) -> str:
        """Asks the agent's user while the call runs."""
        result = await ctx.elicit(message, User)
        return f"User response: {result}"

    @server.tool()
    async def test_elicitation_sep1034_defaults(ctx: Context) -> str:
        """Asks with defaults."""
        result = await ctx.elicit("Review", Defaults)
        return f"Elicitation completed: {result}"

    @server.tool()
    def test_input_required_result_elicitation(ctx: Context) -> str | InputRequiredResult:
        """Asks for a name."""
        if not answered(ctx, "user_name"):
            return required(user_name=form("What is your name?", name="string"))
        return f"Hello, {ctx.input_responses}"

    @server.tool()
    def test_input_required_result_sampling(ctx: Context) -> str | InputRequiredResult:
        """Asks the model."""
        if not answered(ctx, "capital_question"):
            return required(capital_question=sampling("What is the capital of France?", 100))
        return f"Said: {ctx.input_responses}"

    @server.tool()
    def test_input_required_result_list_roots(ctx: Context) -> str | InputRequiredResult:
        """Asks for the roots."""
        if not answered(ctx, "client_roots"):
            return required(client_roots=ListRootsRequest())
        return f"Roots: {ctx.input_responses}"

    @server.tool()
    def test_input_required_result_request_state(ctx: Context) -> str | InputRequiredResult:
        """Remembers by what the client echoes."""
        if not answered(ctx, "confirm"):
            return required("asked", confirm=form("Please confirm", ok="boolean"))
        return "state-ok" if ctx.request_state == "asked" else "no state"

    @server.tool()
    def test_input_required_result_tampered_state(ctx: Context) -> str | InputRequiredResult:
        """Takes no state but its own."""
        if not answered(ctx, "confirm"):
            return required("asked", confirm=form("Please confirm", ok="boolean"))
        if ctx.request_state != "asked":
            raise ToolError("the state is not ours")
        return "state-ok"

    @server.tool()
    def test_input_required_result_multiple_inputs(ctx: Context) -> str | InputRequiredResult:
        """Asks three things at once."""
        if not answered(ctx, "user_name", "greeting", "client_roots"):
            return required(
                "many",
                user_name=form("What is your name?", name="string"),
                greeting=sampling("Generate a greeting", 50),
                client_roots=ListRootsRequest(),
            )
        return "all answered"

    @server.tool()
    def test_input_required_result_multi_round(ctx: Context) -> str | InputRequiredResult:
        """Asks twice."""
        if answered(ctx, "step2"):
            return "done"
        if answered(ctx, "step1"):
            return required("second", step2=form("Step 2: What is your favorite color?", color="string"))
        return required("first", step1=form("Step 1: What is your name?", name="string"))

    @server.prompt()
    def test_input_required_result_prompt(ctx: Context) -> str | InputRequiredResult:
        """A prompt that asks."""
        if not answered(ctx, "user_context"):
            return required(user_context=form("What context should the prompt use?", context="string"))
        return f"Context: {ctx.input_responses}"

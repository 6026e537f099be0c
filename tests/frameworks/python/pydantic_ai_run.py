"""pydantic-ai with its own instrumentation. The application names the user on its own root span."""

import httpx
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
from pydantic_ai import Agent, ModelRetry
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.models.instrumented import InstrumentationSettings

from scenario import LOOKUP, REFUND, SCENARIO, SESSION, USER, Orders, provider, say, serving


def scripted(messages: list[ModelMessage], _: AgentInfo) -> ModelResponse:
    """The model: what it says next follows from how often it has spoken."""
    spoken = sum(isinstance(message, ModelResponse) for message in messages)
    calls = [LOOKUP, REFUND]
    if spoken < len(calls):
        call = calls[spoken]
        return ModelResponse(parts=[ToolCallPart(call["tool"], call["arguments"], call["call_id"])])
    return ModelResponse(parts=[TextPart(SCENARIO["answers"][spoken - len(calls)])])


def main() -> None:
    traces = provider("orders-pydantic-ai")
    tracer = traces.get_tracer("orders")
    HTTPXClientInstrumentor().instrument(tracer_provider=traces)
    Agent.instrument_all(InstrumentationSettings(tracer_provider=traces))
    agent = Agent(
        FunctionModel(scripted, model_name="scripted-1"),
        name="orders-agent",
        system_prompt=SCENARIO["system"],
    )
    with serving(Orders) as url:

        @agent.tool_plain
        def get_order(order_id: str) -> dict[str, object]:
            """Looks an order up."""
            return httpx.get(f"{url}/orders/{order_id}").json()

        @agent.tool_plain
        def refund_order(order_id: str, amount: int) -> str:
            """Gives money back."""
            raise ModelRetry(REFUND["error"])

        history: list[ModelMessage] = []
        for prompt in SCENARIO["prompts"]:
            named = {"user.id": USER, "session.id": SESSION}
            with tracer.start_as_current_span("POST /chat", attributes=named):
                result = agent.run_sync(prompt, message_history=history, conversation_id=SESSION)
            history = result.all_messages()
        say(answer=result.output)
    traces.shutdown()


main()

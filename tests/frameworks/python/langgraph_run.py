"""LangGraph with OpenInference's instrumentation. HTTP calls are spans in traces of their own."""

from typing import Any

import requests
from langchain.agents import create_agent
from langchain.agents.middleware import wrap_tool_call
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from openinference.instrumentation import using_attributes
from openinference.instrumentation.langchain import LangChainInstrumentor
from opentelemetry.instrumentation.requests import RequestsInstrumentor

from scenario import LOOKUP, REFUND, SCENARIO, SESSION, USER, Orders, provider, say, serving


class Scripted(BaseChatModel):
    """The model: what it says next follows from how often it has spoken."""

    model_name: str = "scripted-1"

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, tools: Any, **_: Any) -> "Scripted":
        return self

    def _generate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
        spoken = sum(isinstance(message, AIMessage) for message in messages)
        calls = [LOOKUP, REFUND]
        if spoken < len(calls):
            call = calls[spoken]
            named = {"name": call["tool"], "args": call["arguments"], "id": call["call_id"]}
            message = AIMessage("", tool_calls=[named])
        else:
            message = AIMessage(SCENARIO["answers"][spoken - len(calls)])
        return ChatResult(generations=[ChatGeneration(message=message)])


@wrap_tool_call
def told(request: Any, handler: Any) -> ToolMessage:
    """Tells the model of a tool that fails."""
    try:
        return handler(request)
    except RuntimeError as error:
        return ToolMessage(str(error), tool_call_id=request.tool_call["id"], status="error")


def main() -> None:
    traces = provider("orders-langgraph")
    LangChainInstrumentor().instrument(tracer_provider=traces)
    RequestsInstrumentor().instrument(tracer_provider=traces)
    with serving(Orders) as url:

        @tool
        def get_order(order_id: str) -> dict[str, object]:
            """Looks an order up."""
            return requests.get(f"{url}/orders/{order_id}").json()

        @tool
        def refund_order(order_id: str, amount: int) -> str:
            """Gives money back."""
            raise RuntimeError(REFUND["error"])

        agent = create_agent(
            Scripted(),
            [get_order, refund_order],
            system_prompt=SCENARIO["system"],
            middleware=[told],
            checkpointer=InMemorySaver(),
            name="orders-agent",
        )
        for prompt in SCENARIO["prompts"]:
            with using_attributes(user_id=USER, session_id=SESSION):
                state = agent.invoke(
                    {"messages": [{"role": "user", "content": prompt}]},
                    {"configurable": {"thread_id": SESSION}},
                )
        say(answer=state["messages"][-1].content)
    traces.shutdown()


main()

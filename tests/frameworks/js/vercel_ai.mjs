// The Vercel AI SDK with its own telemetry, exported as JSON.

import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-http";
import { registerInstrumentations } from "@opentelemetry/instrumentation";
import { UndiciInstrumentation } from "@opentelemetry/instrumentation-undici";
import { resourceFromAttributes } from "@opentelemetry/resources";
import { BatchSpanProcessor, NodeTracerProvider } from "@opentelemetry/sdk-trace-node";
import { generateText, stepCountIs, streamText, tool } from "ai";
import { MockLanguageModelV3, simulateReadableStream } from "ai/test";
import { z } from "zod";

import { orders, say, scenario, session } from "./scenario.mjs";

const exporter = new OTLPTraceExporter();
const provider = new NodeTracerProvider({
  resource: resourceFromAttributes({ "service.name": "orders-vercel-ai" }),
  spanProcessors: [new BatchSpanProcessor(exporter)],
});
provider.register();
// What is exported would be told of as well.
const ours = new URL(process.env.OTEL_EXPORTER_OTLP_ENDPOINT).host;
const undici = new UndiciInstrumentation({ ignoreRequestHook: (to) => to.origin.endsWith(ours) });
registerInstrumentations({ tracerProvider: provider, instrumentations: [undici] });

const usage = {
  inputTokens: { total: 10, noCache: 10, cacheRead: 0, cacheWrite: 0 },
  outputTokens: { total: 5, text: 5, reasoning: 0 },
};

/** What the model says next: it follows from how often it has spoken. */
function next(prompt) {
  const spoken = prompt.filter((message) => message.role === "assistant").length;
  const calls = [scenario.lookup, scenario.refund];
  if (spoken >= calls.length) {
    const text = scenario.answers[spoken - calls.length];
    return { reason: "stop", part: { type: "text", text } };
  }
  const { tool: toolName, call_id: toolCallId, arguments: input } = calls[spoken];
  const part = { type: "tool-call", toolCallId, toolName, input: JSON.stringify(input) };
  return { reason: "tool-calls", part };
}

const model = new MockLanguageModelV3({
  provider: "scripted",
  modelId: "scripted-1",
  doGenerate: async ({ prompt }) => {
    const { reason, part } = next(prompt);
    return { content: [part], finishReason: { unified: reason }, usage, warnings: [] };
  },
  doStream: async ({ prompt }) => {
    const { reason, part } = next(prompt);
    const said =
      part.type === "text"
        ? [
            { type: "text-start", id: "1" },
            { type: "text-delta", id: "1", delta: part.text },
            { type: "text-end", id: "1" },
          ]
        : [part];
    const chunks = [
      { type: "stream-start", warnings: [] },
      ...said,
      { type: "finish", finishReason: { unified: reason }, usage },
    ];
    return { stream: simulateReadableStream({ chunks }) };
  },
});

const api = await orders();
const tools = {
  [scenario.lookup.tool]: tool({
    description: "Looks an order up.",
    inputSchema: z.object({ order_id: z.string() }),
    execute: async ({ order_id }) => (await fetch(`${api.url}/orders/${order_id}`)).json(),
  }),
  [scenario.refund.tool]: tool({
    description: "Gives money back.",
    inputSchema: z.object({ order_id: z.string(), amount: z.number() }),
    execute: async () => {
      throw new Error(scenario.refund.error);
    },
  }),
};

const streams = process.argv.includes("--stream");
const messages = [];
let answer;
for (const content of scenario.prompts) {
  messages.push({ role: "user", content });
  const asked = {
    model,
    system: scenario.system,
    messages,
    tools,
    stopWhen: stepCountIs(6),
    experimental_telemetry: {
      isEnabled: true,
      functionId: "orders-agent",
      metadata: { userId: scenario.user, sessionId: session },
    },
  };
  const result = streams ? streamText(asked) : await generateText(asked);
  // Its span ends with the stream.
  if (streams) await result.consumeStream();
  answer = await result.text;
  messages.push(...(await result.response).messages);
}
api.close();
await provider.shutdown();
say({ answer });

// WorkOS's own client for Node, told of another host and another key.

import { WorkOS } from "@workos-inc/node";

import { say, scenario, session } from "./scenario.mjs";

const url = new URL(process.env.WHENCE_URL);
const client = new WorkOS(process.env.WHENCE_TOKEN, {
  apiHostname: url.hostname,
  port: Number(url.port),
  https: false,
});

async function send(action, metadata, idempotencyKey) {
  const event = {
    action,
    occurredAt: new Date("2026-11-24T00:06:15Z"),
    actor: { id: scenario.user, type: "user", name: "Alice" },
    targets: [{ id: "A-1001", type: "order", metadata: { total: 42.5 } }],
    context: { location: "203.0.113.7", userAgent: "orders/1" },
    metadata,
    version: 1,
  };
  try {
    await client.auditLogs.createEvent("org_1", event, { idempotencyKey });
    say({ success: true });
  } catch (error) {
    const errors = error.errors?.map((one) => one.code);
    say({ error: error.name, code: error.code, message: error.message, errors });
  }
}

const here = { session_id: session, paid: false };
await send("order.viewed", here);
await send("order.viewed", here, `key-${session}`);
await send("order.viewed", here, `key-${session}`);
await send("order.closed", here, `key-${session}`);
await send("order.viewed", {});
await send("order.viewed", { ...here, note: "x".repeat(501) });

// The official client and the reference server of MCP with the recording proxy between them, over standard
// input and output or over HTTP: `node mcp.mjs stdio|http PROXY…`. Without a proxy they talk directly.

import { spawn } from "node:child_process";
import { createServer } from "node:net";
import { fileURLToPath } from "node:url";

import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { ElicitRequestSchema } from "@modelcontextprotocol/sdk/types.js";

import { say } from "./scenario.mjs";

const [way, ...proxy] = process.argv.slice(2);
const everything = fileURLToPath(
  new URL("node_modules/@modelcontextprotocol/server-everything/dist/index.js", import.meta.url),
);
const children = [];

/** Starts a program, and waits for a line of its errors that matches. */
async function start(command, environment, wanted) {
  const child = spawn(command[0], command.slice(1), {
    env: { ...process.env, ...environment },
    stdio: ["ignore", "ignore", "pipe"],
  });
  children.push(child);
  child.stderr.setEncoding("utf8");
  return new Promise((resolve, reject) => {
    let said = "";
    child.stderr.on("data", (text) => {
      said += text;
      const found = wanted.exec(said);
      if (found) resolve(found);
    });
    child.on("exit", (code) => reject(new Error(`${command[0]} ended with ${code}: ${said}`)));
  });
}

async function freePort() {
  const server = createServer();
  await new Promise((ready) => server.listen(0, "127.0.0.1", ready));
  const { port } = server.address();
  await new Promise((closed) => server.close(closed));
  return port;
}

async function transport() {
  if (way === "stdio") {
    const [command, ...args] = [...proxy, ...(proxy.length ? ["--"] : []), "node", everything, "stdio"];
    return new StdioClientTransport({ command, args, env: process.env, stderr: "inherit" });
  }
  const port = await freePort();
  await start(["node", everything, "streamableHttp"], { PORT: String(port) }, /listening on port/i);
  let url = `http://127.0.0.1:${port}/mcp`;
  if (proxy.length) {
    const command = [...proxy, "--listen", "127.0.0.1:0", "--upstream", url];
    const [, base] = await start(command, {}, /listening on (http:\S+)/);
    url = `${base}/mcp`;
  }
  return new StreamableHTTPClientTransport(new URL(url));
}

const client = new Client(
  { name: "orders-agent", version: "1" },
  { capabilities: { elicitation: { form: {} } } },
);
client.setRequestHandler(ElicitRequestSchema, async () => ({
  action: "accept",
  content: { name: "Alice", check: true },
}));

await client.connect(await transport());
const { tools } = await client.listTools();
say({ tools: tools.map((tool) => tool.name).sort() });
const echo = await client.callTool({ name: "echo", arguments: { message: "order A-1001" } });
const sum = await client.callTool({ name: "get-sum", arguments: { a: 40, b: 2 } });
const unknown = await client.callTool({ name: "no-such-tool", arguments: {} });
const asked = await client.callTool({ name: "trigger-elicitation-request", arguments: {} });
for (const result of [echo, sum, unknown, asked]) {
  say({ error: result.isError ?? false, text: result.content[0].text });
}
const read = await client.readResource({ uri: "demo://resource/static/document/features.md" });
say({ resource: read.contents[0].text.length });
await client.close();
children.forEach((child) => {
  child.removeAllListeners("exit");
  child.kill("SIGTERM");
});

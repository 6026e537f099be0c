// What every program here plays: see ../python/scenario.py.

import { readFileSync } from "node:fs";
import { createServer } from "node:http";

export const scenario = JSON.parse(readFileSync(new URL("../scenario.json", import.meta.url)));
export const session = process.env.SCENARIO_SESSION;

/** Runs the business API that the lookup calls. */
export async function orders() {
  const server = createServer((request, response) => {
    const known = request.url === "/orders/A-1001";
    response.writeHead(known ? 200 : 404, { "content-type": "application/json" });
    response.end(JSON.stringify(known ? scenario.lookup.result : { error: "no such order" }));
  });
  await new Promise((ready) => server.listen(0, "127.0.0.1", ready));
  return { url: `http://127.0.0.1:${server.address().port}`, close: () => server.close() };
}

/** Tells whoever started the program what came of it: a line of JSON. */
export function say(what) {
  process.stdout.write(`${JSON.stringify(what)}\n`);
}

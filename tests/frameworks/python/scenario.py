"""What every program here plays: one conversation of two turns, scripted to the last word.

The model looks an order up (one call of a local HTTP API), tries a refund that fails, and says so;
then the user asks one thing more. Each program exports what its framework tells of that with the
framework's usual exporter, which reads where to and with which headers from the environment.
"""

import json
import os
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Iterator

SCENARIO = json.loads((Path(__file__).parent.parent / "scenario.json").read_text())
USER: str = SCENARIO["user"]
SESSION: str = os.environ["SCENARIO_SESSION"]
LOOKUP = SCENARIO["lookup"]
REFUND = SCENARIO["refund"]


class Handler(BaseHTTPRequestHandler):
    """A handler that says nothing on its own."""

    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        pass

    def answer(self, status: int, body: bytes, media: str = "application/json") -> None:
        self.send_response(status)
        self.send_header("content-type", media)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Orders(Handler):
    """The business API that the lookup calls."""

    def do_GET(self) -> None:
        known = self.path == "/orders/A-1001"
        body = LOOKUP["result"] if known else {"error": "no such order"}
        self.answer(200 if known else 404, json.dumps(body).encode())


@contextmanager
def serving(handler: type[Handler]) -> Iterator[str]:
    """Runs a server, and gives its URL."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()


def provider(name: str):
    """A tracer provider with the usual exporter, over gRPC or over HTTP as the environment says."""
    from opentelemetry import trace
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    if os.environ.get("OTEL_EXPORTER_OTLP_PROTOCOL") == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
    else:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    made = TracerProvider(resource=Resource.create({"service.name": name}))
    made.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(made)
    return made


def say(**what: object) -> None:
    """Tells whoever started the program what came of it: a line of JSON."""
    json.dump(what, sys.stdout)
    print(flush=True)

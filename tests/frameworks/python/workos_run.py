"""WorkOS's own Python client, told of another base URL and another key."""

import os
from datetime import datetime, timezone

from workos import WorkOSClient
from workos._errors import APIError
from workos.audit_logs.models import (
    AuditLogEvent,
    AuditLogEventActor,
    AuditLogEventContext,
    AuditLogEventTarget,
)

from scenario import SESSION, USER, say


def event(action: str, metadata: dict[str, str | float | bool]) -> AuditLogEvent:
    return AuditLogEvent(
        action=action,
        occurred_at=datetime(2026, 11, 24, 0, 6, 15, tzinfo=timezone.utc),
        actor=AuditLogEventActor(id=USER, type="user", name="Alice"),
        targets=[AuditLogEventTarget(id="A-1001", type="order", metadata={"total": 42.5})],
        context=AuditLogEventContext(location="203.0.113.7", user_agent="orders/1"),
        metadata=metadata,
        version=1,
    )


def main() -> None:
    client = WorkOSClient(api_key=os.environ["WHENCE_TOKEN"], base_url=os.environ["WHENCE_URL"] + "/v1")

    def send(action: str, metadata: dict[str, str | float | bool], key: str | None = None) -> None:
        try:
            answer = client.audit_logs.create_event(
                organization_id="org_1", event=event(action, metadata), idempotency_key=key
            )
            say(success=answer.success)
        except APIError as error:
            codes = [one["code"] for one in error.errors]
            name = type(error).__name__
            say(error=name, code=error.code, message=error.message, errors=codes)

    here: dict[str, str | float | bool] = {"session_id": SESSION, "paid": False}
    send("order.viewed", here)
    send("order.viewed", here, f"key-{SESSION}")
    send("order.viewed", here, f"key-{SESSION}")
    send("order.closed", here, f"key-{SESSION}")
    send("order.viewed", {})
    send("order.viewed", {**here, "note": "x" * 501})


main()

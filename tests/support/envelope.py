"""The form of the pool's messages: the same words in the order and wrapping of one server or another."""

from __future__ import annotations

import json

from server_profile import Envelope, RejectStyle


def line(message: dict) -> bytes:
    """Text goes out as UTF-8, not as escapes, where JSON leaves the choice."""
    return json.dumps(message, ensure_ascii=False).encode(errors="replace") + b"\n"


def reject_members(code: int, text: str, style: RejectStyle) -> dict:
    """One of the forms that servers in the field use."""
    forms = {
        "list": (None, [code, text, None]),
        "false-list": (False, [code, text, None]),
        "two-elements": (False, [code, text]),
        "object": (None, {"code": code, "message": text, "data": None}),
        "string": (False, text),
        "false-null": (False, None),
        "true": (True, None),
    }
    result, error = forms[style]
    return {"result": result, "error": error}


class Writer:
    """Makes the lines for one connection."""

    def __init__(self, form: Envelope):
        self.form = form
        self.notifications = 0

    def notification(self, method: str, params: list) -> bytes:
        message = {"method": method, "params": params}
        if self.form.notification_id != "absent":
            message["id"] = self.notifications if self.form.notification_id == "number" else None
        self.notifications += 1
        return self._line(message)

    def accept(self, request_id: int, result) -> bytes:
        message = {"id": request_id, "result": result}
        if self.form.no_error == "null":
            message["error"] = None
        return self._line(message)

    def reject(self, request_id: int | None, code: int, text: str, style: RejectStyle) -> bytes:
        return self._line({"id": request_id, **reject_members(code, text, style)})

    def difficulty(self, value):
        return float(value) if self.form.whole_as_float else value

    def _line(self, message: dict) -> bytes:
        if self.form.jsonrpc:
            message["jsonrpc"] = "2.0"
        order = self.form.members
        return line({name: message[name] for name in (*order, "jsonrpc") if name in message})

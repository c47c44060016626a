"""`florin mail` shows what lies in the mailbox."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from florin_cli.__main__ import build
from notification_svc.adapters.mailbox import Mailbox
from notification_svc.domain.message import compose

NOON = datetime(2025, 1, 31, 12, 0, tzinfo=UTC)


@pytest.fixture
async def mailbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A mailbox with three receipts, a minute apart."""
    folder = tmp_path / "mailbox"
    monkeypatch.setenv("FLORIN_MAILBOX_DIR", str(folder))
    await Mailbox(folder).carry(
        [
            compose(
                delivery_id=f"dlv_{number}",
                order_id=f"ord_{number}",
                correlation_id="cor_1",
                sender="Florin <no-reply@florin.example>",
                recipient=f"buyer{number}@example.com",
                subject=f"Your receipt for order ord_{number}",
                body="Total: €19.99\n",
                requested_at=NOON + timedelta(minutes=number),
            )
            for number in (1, 2, 3)
        ]
    )
    return folder


def run(*arguments: str) -> str:
    result = CliRunner().invoke(build(["mail", *arguments]), ["mail", *arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_json_is_newest_first_and_holds_the_whole_message(mailbox: Path) -> None:
    found = json.loads(run("--json"))
    assert [each["order_id"] for each in found] == ["ord_3", "ord_2", "ord_1"]
    assert found[0] == {
        "id": "dlv_3",
        "order_id": "ord_3",
        "time": "2025-01-31T12:03:00+00:00",
        "to": "buyer3@example.com",
        "subject": "Your receipt for order ord_3",
        "body": "Total: €19.99\n",
        "path": str(mailbox / "2025-01-31" / "12-03" / "dlv_3.eml"),
    }


@pytest.mark.usefixtures("mailbox")
def test_one_order_is_shown_in_full_and_the_list_in_lines() -> None:
    shown = run("ord_2")
    assert "buyer2@example.com" in shown
    assert "Total: €19.99" in shown
    assert "buyer1@example.com" not in shown
    assert "Total" not in run()
    assert len(json.loads(run("--json", "-n", "1"))) == 1


@pytest.mark.usefixtures("mailbox")
def test_an_order_without_mail_is_said_to_have_none() -> None:
    assert json.loads(run("--json", "ord_9")) == []
    assert "No e-mail about ord_9" in run("ord_9")

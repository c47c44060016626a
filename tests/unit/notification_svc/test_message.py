"""E-mails as bytes: what the standard library's own parser reads back, and what nobody can smuggle in."""

from __future__ import annotations

from datetime import timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notification_svc.domain.message import Mail, compose
from tests.unit.notification_svc.deliveries import NOON

VALUES: dict[str, Any] = {
    "delivery_id": "dlv_1",
    "order_id": "ord_1",
    "correlation_id": "cor_1",
    "sender": "Florin <no-reply@florin.example>",
    "recipient": "ada@example.com",
    "subject": "Your receipt",
    "body": "Total: €19.99\n",
    "requested_at": NOON,
}


def a_mail(**changes: Any) -> Mail:
    return compose(**{**VALUES, **changes})


def parsed(mail: Mail) -> EmailMessage:
    message = message_from_bytes(mail.content, policy=policy.SMTP)
    assert isinstance(message, EmailMessage)
    assert message.defects == []
    return message


def test_a_mail_program_reads_what_was_written() -> None:
    message = parsed(a_mail())
    assert message["From"] == "Florin <no-reply@florin.example>"
    assert message["To"] == "ada@example.com"
    assert message["Subject"] == "Your receipt"
    assert message["Message-ID"] == "<dlv_1@florin.example>"
    assert message["X-Florin-Order"] == "ord_1"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Date"].datetime == NOON
    assert message.get_content() == "Total: €19.99\r\n"


def test_a_second_send_of_one_delivery_is_the_same_message_byte_for_byte() -> None:
    assert a_mail() == a_mail()
    assert a_mail().content != a_mail(delivery_id="dlv_2").content


@given(subject=st.text(st.characters(blacklist_categories=["C", "Z"]) | st.just(" "), max_size=200))
def test_any_printable_subject_survives_and_no_line_is_too_long(subject: str) -> None:
    mail = a_mail(subject=subject)
    assert parsed(mail)["Subject"].split() == subject.split()
    assert all(len(line) <= 998 for line in mail.content.split(b"\r\n"))


@given(body=st.text(st.characters(blacklist_categories=["C", "Z"]) | st.sampled_from(" \n"), max_size=1_500))
def test_any_body_survives_in_lines_that_mail_servers_take(body: str) -> None:
    mail = a_mail(body=body)
    assert parsed(mail).get_content().splitlines() == body.splitlines()
    lines = mail.content.split(b"\r\n")
    assert all(len(line) <= 78 and b"\n" not in line and b"\r" not in line for line in lines)


@pytest.mark.parametrize(
    "field", ["sender", "recipient", "subject", "order_id", "correlation_id", "delivery_id"]
)
@pytest.mark.parametrize("end", ["\r\n", "\n", "\r", "\0", "\u2028", "\x85"])
def test_no_value_can_become_a_header_of_its_own(field: str, end: str) -> None:
    with pytest.raises(ValueError, match="control characters"):
        a_mail(**{field: f"x{end}Bcc: eve@example.com"})


@given(
    value=st.text(max_size=120), field=st.sampled_from(["recipient", "subject", "order_id", "correlation_id"])
)
def test_whatever_a_value_holds_the_headers_are_those_of_every_mail(value: str, field: str) -> None:
    try:
        mail = a_mail(**{field: value})
    except ValueError:
        return
    head = mail.content.partition(b"\r\n\r\n")[0]
    names = [line.partition(b":")[0] for line in head.split(b"\r\n") if not line.startswith((b" ", b"\t"))]
    assert names == [
        line.partition(b":")[0]
        for line in a_mail().content.partition(b"\r\n\r\n")[0].split(b"\r\n")
        if not line.startswith(b" ")
    ]


def test_the_date_is_that_of_the_request_and_not_of_the_attempt() -> None:
    assert parsed(a_mail(requested_at=NOON - timedelta(days=1)))["Date"].datetime == NOON - timedelta(days=1)

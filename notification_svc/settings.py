"""What the notification service is told by its environment."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from kit.runtime.settings import ContextSettings
from notification_svc.domain.message import header_text


class Settings(ContextSettings):
    """Settings of this service besides those that all share."""

    # Nobody waits for an e-mail in milliseconds, and a fuller batch is a cheaper one.
    event_linger_ms: int = Field(default=150, ge=0, le=1_000)
    # Everything this installation keeps.
    data_dir: Path = Path(".florin")
    # Where e-mails land when no SMTP server is set; the folder `mailbox` of the data by default.
    mailbox_dir: Path | None = None
    # `smtp://user:password@host:587` or `smtps://…`; empty means the mailbox folder.
    smtp_url: str = Field(default="", repr=False)
    # Sender of the e-mails.
    mail_from: str = "Florin <no-reply@florin.example>"
    # Days that a delivery stays after its order was placed, if it has been sent or given up.
    delivery_days: int = Field(default=90, ge=30, le=3_650)

    @property
    def mailbox(self) -> Path:
        """The folder of e-mails."""
        return self.mailbox_dir or self.data_dir / "mailbox"

    @field_validator("smtp_url")
    @classmethod
    def _is_smtp(cls, url: str) -> str:
        parts = urlsplit(url)
        if url and (parts.scheme not in ("smtp", "smtps") or not parts.hostname):
            raise ValueError("must be smtp://host[:port] or smtps://host[:port], or empty")
        return url

    @field_validator("mail_from")
    @classmethod
    def _is_header(cls, sender: str) -> str:
        return header_text(sender)

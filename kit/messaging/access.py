"""How a broker is reached that wants to know who comes, or to be known itself."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Access:
    """What NATS asks for besides its address; a user, password or token may stand in that.

    Attributes:
        credentials_file: a user's JWT and seed, as `nsc` writes them (`.creds`).
        nkey_file: a user's seed alone.
        ca_file: who has signed the servers' certificates, if none of the usual authorities.
        certificate_file: what we show in turn, with `key_file`.
    """

    credentials_file: Path | None = None
    nkey_file: Path | None = None
    ca_file: Path | None = None
    certificate_file: Path | None = None
    key_file: Path | None = None

    def arguments(self, url: str) -> dict[str, Any]:
        """Return what `nats.connect` is called with, for one address or several separated by commas.

        Raises:
            OSError: a file is not there, or not what it should be.
        """
        given: dict[str, Any] = {"servers": [each.strip() for each in url.split(",") if each.strip()]}
        if self.credentials_file is not None:
            given["user_credentials"] = str(self.credentials_file)
        if self.nkey_file is not None:
            given["nkeys_seed"] = str(self.nkey_file)
        if self.ca_file is not None or self.certificate_file is not None:
            given["tls"] = self._tls()
        return given

    def _tls(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self.ca_file)
        if self.certificate_file is not None:
            context.load_cert_chain(self.certificate_file, self.key_file)
        return context

"""Passwords and keys: made once for each data directory, readable by its owner alone."""

from __future__ import annotations

import json
import os
import secrets as random
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from roster import ROSTER
from runner.settings import Settings
from terminal.errors import CommandError

# 192 bits: nobody guesses it, and it still fits on a line of a connection string.
_ENTROPY_BYTES: Final = 24
_OWNER_ONLY: Final = 0o600

AUDITOR: Final = "florin_auditor"
SUPERUSER: Final = "postgres"


@dataclass(frozen=True, slots=True)
class Secrets:
    """Every secret of one system. Never logged, never part of a process's arguments."""

    # By role: the superuser, the auditor, and for each database its owner and its service.
    postgres_passwords: dict[str, str]
    psp_api_key: str
    psp_webhook_secret: str
    page_token_key: str

    def __repr__(self) -> str:
        return "Secrets(…)"


def secrets_file(settings: Settings) -> Path:
    """Where the passwords are kept."""
    return settings.data_dir / "secrets.json"


def private_key_file(settings: Settings) -> Path:
    """The JWK that signs callers' tokens."""
    return settings.keys_dir / "jwt-private.json"


def public_keys_file(settings: Settings) -> Path:
    """The JWKS that the edge checks callers' tokens with."""
    return settings.keys_dir / "jwks.json"


def ensure(settings: Settings) -> Secrets:
    """The system's secrets, made on the first call.

    Raises:
        CommandError: they are lost, and making new ones would lock us out of Postgres.
    """
    path = secrets_file(settings)
    if not path.exists():
        if (settings.data_dir / "postgres.initialised").exists():
            raise CommandError(
                f"{path}, which holds the secrets of this system, is gone.",
                way_out="Restore it from a copy. Without it only `florin reset`, "
                "which forgets all data, leads on.",
            )
        settings.data_dir.mkdir(parents=True, exist_ok=True)
        _write(settings, _generate())
    _ensure_key_pair(settings)
    found = load(settings)
    if missing := [role for role in _roles() if role not in found.postgres_passwords]:
        # A context has moved in since.
        found.postgres_passwords.update({role: _password() for role in missing})
        _write(settings, found)
    return found


def load(settings: Settings) -> Secrets:
    """The secrets of a system that has been started before.

    Raises:
        CommandError: it has not, or the file cannot be read.
    """
    path = secrets_file(settings)
    try:
        return Secrets(**json.loads(path.read_text()))
    except FileNotFoundError:
        raise CommandError(
            f"There is no Florin system in {settings.data_dir}.",
            way_out="Start one with `florin up`, or set FLORIN_DATA_DIR to where it is.",
        ) from None
    except (OSError, ValueError, TypeError) as error:
        raise CommandError(
            f"{path} cannot be used: {error}.",
            way_out="Restore it from a copy. Without it only `florin reset`, "
            "which forgets all data, leads on.",
        ) from error


def write_private(path: Path, text: str) -> None:
    """Writes a file that was at no moment readable by others, all of it or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.getpid()}.draft")
    draft.unlink(missing_ok=True)
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _OWNER_ONLY), "w") as file:
        file.write(text)
    draft.replace(path)


def _write(settings: Settings, secrets: Secrets) -> None:
    write_private(secrets_file(settings), json.dumps(asdict(secrets), indent=1))


def _roles() -> list[str]:
    databases = [context.database for context in ROSTER]
    return [SUPERUSER, AUDITOR, *databases, *(f"{database}_owner" for database in databases)]


def _password() -> str:
    # Hexadecimal, so that a password needs no quoting in an address or in SQL.
    return random.token_hex(_ENTROPY_BYTES)


def _generate() -> Secrets:
    return Secrets(
        postgres_passwords={role: _password() for role in _roles()},
        psp_api_key=f"sk_test_{random.token_hex(_ENTROPY_BYTES)}",
        psp_webhook_secret=f"whsec_{random.token_hex(_ENTROPY_BYTES)}",
        page_token_key=random.token_hex(_ENTROPY_BYTES),
    )


def _ensure_key_pair(settings: Settings) -> None:
    if private_key_file(settings).exists() and public_keys_file(settings).exists():
        return
    # Imported here: it loads a cryptography library, which only the first start has to wait for.
    from joserfc.jwk import ECKey

    key = ECKey.generate_key(
        "P-256", {"use": "sig", "alg": "ES256", "kid": random.token_hex(8)}, private=True
    )
    write_private(private_key_file(settings), json.dumps(key.as_dict(private=True)))
    public = json.dumps({"keys": [key.as_dict(private=False)]})
    write_private(public_keys_file(settings), public)

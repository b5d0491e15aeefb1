"""Which value of a setting counts, and when it is opened."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from salesmart_assets.batch.doctor import settings_table
from salesmart_assets.errors import UsageError
from salesmart_assets.security import sealing
from salesmart_assets.settings import Settings


@pytest.fixture
def encrypted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of a project with an encrypted currency, port and first batch date, which a passphrase opens."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SALESMART_SECRETS_PASSPHRASE", "a passphrase of some length")
    for name, value in (("CURRENCY", "hidden"), ("PORT", "3009"), ("FIRST_BATCH_DATE", "2015-01-01")):
        sealing.encrypt(Settings.given(), f"SALESMART_{name}", value)
    return tmp_path / "salesmart.secrets"


def test_any_setting_may_be_encrypted(encrypted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Any setting may be encrypted, secret by its kind or not; in the environment as in the file, and the environment comes first."""
    settings = Settings.load()
    assert (settings.currency, settings.port, str(settings.first_batch_date)) == ("hidden", 3009, "2015-01-01")
    monkeypatch.setenv("SALESMART_CURRENCY", "€")
    assert Settings.load().currency == "€"
    monkeypatch.setenv("SALESMART_CURRENCY", "")  # as an unset variable of a compose file comes
    assert Settings.load().currency == "hidden"
    text = re.findall("SALESMART_CURRENCY=(.*)", encrypted.read_text())[0]
    encrypted.unlink()
    monkeypatch.setenv("SALESMART_CURRENCY", text)
    assert Settings.load().currency == "hidden"


def test_doctor_masks_what_was_encrypted(encrypted: Path) -> None:
    """What was given encrypted is masked where settings are shown, whatever its kind; and it counts for the mark of the settings."""
    shown = {row["setting"]: row["value"] for row in settings_table(Settings.load())}
    assert shown["SALESMART_CURRENCY"] == shown["SALESMART_PORT"] == shown["SALESMART_SECRETS_PASSPHRASE"] == "********"
    assert shown["SALESMART_COUPON_SECRET"] == ""
    before = Settings.load().fingerprint()
    sealing.encrypt(Settings.given(), "SALESMART_CURRENCY", "other")
    assert Settings.load().fingerprint() != before


def test_a_decrypted_value_that_cannot_be_used(encrypted: Path) -> None:
    """A decrypted value that is no value of its setting is an error that does not repeat it."""
    sealing.encrypt(Settings.given(), "SALESMART_REPORT_TIME", "hidden-word-in-here")
    with pytest.raises(UsageError, match=r"^SALESMART_REPORT_TIME cannot be used") as caught:
        Settings.load()
    assert "hidden-word-in-here" not in str(caught.value)


def test_a_file_that_is_named_must_be_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A file of encrypted settings that is named and not there is an error; the default one may be missing."""
    monkeypatch.chdir(tmp_path)
    Settings.load()
    monkeypatch.setenv("SALESMART_SECRETS_FILE", "nothing.secrets")
    with pytest.raises(UsageError, match=r"nothing\.secrets, which is no file"):
        Settings.load()
    monkeypatch.setenv("SALESMART_SECRETS_PASSPHRASE", "vault:secret/retail#passphrase")
    with pytest.raises(UsageError, match="SALESMART_SECRETS_PASSPHRASE opens the other settings"):
        Settings.load()


def test_the_definitions_open_nothing(encrypted: Path) -> None:
    """Importing the definitions decrypts no secret and asks no vault: what they need of the settings is their shape alone."""
    program = "import sys, salesmart_assets.definitions; print(*{'cryptography', 'boto3', 'hvac'} & set(sys.modules))"
    secret = {"SALESMART_DATABASE_URL": "vault:secret/retail#url", "SALESMART_COUPON_SECRET": "aws-secret:x", "SALESMART_PORT": "enc:v1:x"}
    lines = encrypted.read_text().splitlines()
    encrypted.write_text("\n".join(line for line in lines if "FIRST_BATCH_DATE" not in line))
    kept = {k: v for k, v in os.environ.items() if not k.startswith("SALESMART_")}

    def imported(code: str, **environment: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", code], env={**kept, **environment}, cwd=encrypted.parent, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    assert imported(program, **secret) == ""
    encrypted.write_text("\n".join(lines))
    shape = "from salesmart_assets.assets.step import PARTITIONS; print(PARTITIONS.start)"
    assert imported(shape, SALESMART_SECRETS_PASSPHRASE=os.environ["SALESMART_SECRETS_PASSPHRASE"], **secret).startswith("2015-01-01")

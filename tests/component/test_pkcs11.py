# SPDX-License-Identifier: Apache-2.0
"""Keys on a PKCS#11 token: SoftHSM stands in for one that is bought."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

from harness.errors import HarnessError, UsageError
from harness.gate import envelope, keys
from harness.gate.keys import TokenSettings

pytestmark = pytest.mark.component

#: Where Debian 12 and 13 have it.
MODULE = Path("/usr/lib/softhsm/libsofthsm2.so")
PIN = "4711"


@pytest.fixture
def token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A token with an ECDSA key of id 2; the file with its public half."""
    (tmp_path / "tokens").mkdir()
    settings = tmp_path / "softhsm2.conf"
    settings.write_text(f"directories.tokendir = {tmp_path / 'tokens'}\n")
    monkeypatch.setenv("SOFTHSM2_CONF", str(settings))
    monkeypatch.delenv("KSHS_PIN", raising=False)
    tool = ["pkcs11-tool", "--module", str(MODULE)]
    made = ["softhsm2-util", "--init-token", "--free", "--label", "gate", "--so-pin", "0815", "--pin", PIN]
    subprocess.run(made, check=True, capture_output=True)
    key = ["--login", "--pin", PIN, "--keypairgen", "--key-type", "EC:prime256v1", "--id", "02"]
    subprocess.run([*tool, *key], check=True, capture_output=True)
    read = ["--read-object", "--type", "pubkey", "--id", "02", "--output-file", str(tmp_path / "key.der")]
    subprocess.run([*tool, *read], check=True, capture_output=True)
    public = load_der_public_key((tmp_path / "key.der").read_bytes())
    (tmp_path / "key.pub").write_bytes(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    (tmp_path / "pin").write_text(f"{PIN}\n")
    return tmp_path / "key.pub"


def test_a_token_signs_and_its_public_key_verifies(token: Path, tmp_path: Path) -> None:
    trusted = keys.of_files([token])
    signer = keys.signer("hsm:2?label=gate", TokenSettings(MODULE, tmp_path / "pin"))
    made = envelope.seal(b'{"a": 1}', "x/y", signer)
    assert [one.keyid for one in envelope.load(made, "x/y", trusted).by] == [trusted[0].keyid]
    altered = made.replace(b'"payload": "e', b'"payload": "f')
    assert not envelope.load(altered, "x/y", trusted).by


def test_what_is_wrong_with_a_token_is_one_line(
    token: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for said in ("hsm:9?label=gate", "hsm:2?label=other", "hsm:x"):
        with pytest.raises(UsageError, match="there is no such key"):
            keys.signer(said, TokenSettings(MODULE, tmp_path / "pin"))
    signer = keys.signer("hsm:2?label=gate", TokenSettings(MODULE))
    with pytest.raises(UsageError, match="the token wants a PIN"):
        envelope.seal(b"{}", "x/y", signer)
    monkeypatch.setenv("KSHS_PIN", "1234")
    with pytest.raises(HarnessError, match="nothing could be signed: PinIncorrect"):
        envelope.seal(b"{}", "x/y", signer)
    monkeypatch.setenv("KSHS_PIN", PIN)
    assert envelope.seal(b"{}", "x/y", signer)

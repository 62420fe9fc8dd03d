#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# securesystemslib 1.6.0: `Envelope.from_dict(d)` empties the dictionaries in `d["signatures"]` that it is given.
# A second `from_dict(d)` raises KeyError, and an envelope that a program keeps as the dictionary which it has
# just verified has no signature any more.
# And base64 is taken with other bits behind its last whole byte (`YR==` for `YQ==`), so that two files which
# differ are the same envelope, and the signature of both is good.
#
# Seen: 2026-11-30, Python 3.11.  Passes while this is so, fails (exit 1) when it has changed.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT; cd "$folder"
python3 -m venv venv
venv/bin/pip --quiet --disable-pip-version-check install securesystemslib==1.6.0 cryptography==50.0.2 2>pip.log ||
  { cat pip.log >&2; exit 2; }
venv/bin/python - <<'PY'
import copy

from securesystemslib.dsse import Envelope
from securesystemslib.signer import CryptoSigner

signer = CryptoSigner.generate_ed25519()
envelope = Envelope(b"a", "text/plain", {})
envelope.sign(signer)
written = envelope.to_dict()
kept = copy.deepcopy(written)

Envelope.from_dict(written).verify([signer.public_key], 1)
print("the same dictionary as before:", written == kept)
print("a signature in it now:", {name: str(value)[:12] for name, value in written["signatures"][0].items()})
try:
    Envelope.from_dict(written)
    again = "taken"
except Exception as error:
    again = type(error).__name__
print("taken a second time:", again)

good = 0
print("payload as written:", kept["payload"])
for payload in ("YQ==", "YR==", "Yf=="):
    respelt = copy.deepcopy(kept) | {"payload": payload}
    try:
        Envelope.from_dict(respelt).verify([signer.public_key], 1)
        good += 1
        print(f"spelt {payload!r}: the signature is good")
    except Exception as error:
        print(f"spelt {payload!r}: {type(error).__name__}")
if written == kept or again == "taken" or good != 3:
    raise SystemExit("this has changed")
PY

# SPDX-License-Identifier: Apache-2.0
"""Wrong values of a guest's settings: each is refused by its key, in words."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from vm.windows.profile import BUILTIN, WindowsProfile


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"image_index": 2, "image_name": "x"}, "give image_index or image_name, not both"),
        ({"edition": ""}, "at least 1 character"),
        ({"image_name": ""}, "at least 1 character"),
        ({"installation": "Core"}, "'Client', 'Server' or 'Server Core'"),
        ({"minimum_build": -1}, "greater than or equal to 0"),
        (
            {"minimum_build": 26100, "maximum_build": 20348},
            "maximum_build 20348 is below minimum_build 26100",
        ),
        ({"settle_seconds": [900, 60]}, r"settle_seconds \[900, 60\] must rise"),
        ({"settle_seconds": [60]}, "Field required"),
        ({"evaluation_days": 10**9}, "less than or equal to 3650"),
        ({"name": "wine"}, "wine is the embedded guest"),
        ({"files": {"../x": "y"}}, "'../x': a file of the CD needs a relative path"),
        ({"files": {"/x": "y"}}, "relative path"),
        ({"files": {"": "y"}}, "relative path"),
        ({"files": {"a:b": "y"}}, "is no Joliet name"),
        ({"files": {"a\tb": "y"}}, "is no Joliet name"),
        ({"files": {"n" * 65: "y"}}, "is no Joliet name"),
        ({"files": {"a.txt": "x", "A.TXT": "y"}}, "are one name to Windows"),
        ({"files": "x"}, "valid dictionary"),
        ({"verifier_drivers": ["a b.sys"]}, "match pattern"),
        ({"legs": ["both"]}, "'hvci' or 'verifier'"),
        ({"tpm": "perhaps"}, "valid boolean"),
    ],
)
def test_a_wrong_value_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        WindowsProfile.model_validate({"name": "lab", **settings})


@pytest.mark.parametrize("name", BUILTIN)
def test_a_built_in_guest_can_be_told_another_image(name: str) -> None:
    base = BUILTIN[name].model_dump(exclude_defaults=True)
    for choice in ({"image_index": 4}, {"image_name": "x"}):
        assert WindowsProfile.model_validate({**base, **choice}).wanted().edition == BUILTIN[name].edition

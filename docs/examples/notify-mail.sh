#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# For kshs nightly --notify "notify-mail.sh ADDRESS": a mail where something is new, or less is known than before.
# It gets the night as JSON on its standard input (docs/nights.md); python3 and sendmail are all that it needs.
set -eu
to=${1:?usage: notify-mail.sh ADDRESS}
mail=$(python3 -c '
import email.message, json, sys

night = json.load(sys.stdin)
if night["exit_code"] == 0:
    sys.exit()
cells = night["cells"]
new = [(cell["cell"], one) for cell in cells for one in cell["more"].get("new") or ()]
what = f"{len(new)} new" if new else "less is known than before"
mail = email.message.EmailMessage()
mail["To"] = sys.argv[1]
mail["Subject"] = "kshs, night {}: {}".format(night["night"], what)
lines = ["{}: {}".format(c["cell"], c["more"].get("summary") or c["said"] or "it has left no results") for c in cells]
lines += [""] + ["{} in {}: {}: {}".format(one["kind"], cell, one["key"], one["words"]) for cell, one in new]
mail.set_content("\n".join(lines) + "\n")
print(mail.as_string())
' "$to")
[ -z "$mail" ] || printf '%s\n' "$mail" | sendmail -t

#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs what kshs needs and says what it does.  Usage: setup.sh demo|test
# Idempotent: when nothing is missing it takes a fraction of a second.
set -euo pipefail
cd "$(dirname "$0")/.."
level=${1:-demo}
case $level in
    demo) lists=(scripts/apt-packages.txt) extras="" ;;
    test) lists=(scripts/apt-packages.txt scripts/apt-packages-test.txt) extras="[dev]" ;;
    *) echo "setup.sh: unknown level '$level': say demo or test" >&2; exit 2 ;;
esac
say() { printf 'setup: %s\n' "$*"; }

mapfile -t wanted < <(sed -e 's/#.*//' -e '/^[[:space:]]*$/d' "${lists[@]}" | awk '{print $1}')
missing=()
installed=$(dpkg-query -W -f '${Package} ${db:Status-Status}\n' "${wanted[@]}" 2>/dev/null || true)
for package in "${wanted[@]}"; do
    grep -qx "$package installed" <<<"$installed" || missing+=("$package")
done
if ((${#missing[@]})); then
    sudo=()
    if ((EUID != 0)); then
        command -v sudo >/dev/null || { echo "setup: missing packages: ${missing[*]}; install them as root, there is no sudo here" >&2; exit 3; }
        sudo=(sudo)
    fi
    say "installing ${#missing[@]} Debian packages: ${missing[*]}"
    log=$(mktemp "${TMPDIR:-/tmp}/kshs-apt.XXXXXX")
    export DEBIAN_FRONTEND=noninteractive
    apt=("${sudo[@]}" apt-get -y --no-install-recommends -o Dpkg::Options::=--force-unsafe-io)
    if ! "${apt[@]}" install "${missing[@]}" >"$log" 2>&1; then
        say "refreshing the package lists"
        "${sudo[@]}" apt-get update >>"$log" 2>&1 || true
        if ! "${apt[@]}" install "${missing[@]}" >>"$log" 2>&1; then
            tail -n 15 "$log" >&2
            echo "setup: apt-get failed; the whole log is $log" >&2
            exit 3
        fi
    fi
    rm -f "$log"
fi

# libvirt looks this user up when root starts it, whatever its configuration says.  The package that
# would make it (libvirt-daemon-system) brings a system service along, which is not needed.
if ((EUID == 0)) && ! getent passwd libvirt-qemu >/dev/null; then
    say "adding the system user libvirt-qemu"
    useradd --system --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin libvirt-qemu
fi

python=${PYTHON:-python3}
stamp=.venv/.kshs-$level
if [ ! -e "$stamp" ] || [ pyproject.toml -nt "$stamp" ] || [ scripts/constraints.txt -nt "$stamp" ]; then
    if [ ! -x .venv/bin/python ]; then
        say "making the virtual environment .venv with $("$python" --version)"
        "$python" -m venv .venv
    fi
    say "installing Python packages (libvirt-python is compiled, about 15 s)"
    .venv/bin/python -m pip install --quiet --disable-pip-version-check -c scripts/constraints.txt -e ".$extras"
    touch "$stamp"
fi

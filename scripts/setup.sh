#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs what kshs needs and says what it does.  Usage: setup.sh demo|test
# Idempotent: when nothing is missing it takes a fraction of a second.
set -euo pipefail
cd "$(dirname "$0")/.."
level=${1:-demo}
uid=$(id -u)
case $level in
    demo) lists=(scripts/apt-packages.txt) extras="[fuzz]" ;;
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
    if ((uid != 0)); then
        command -v sudo >/dev/null || {
            echo "setup: ${#missing[@]} Debian packages are missing, and there is no sudo here; as root, run:" >&2
            echo "  apt-get update && apt-get install -y --no-install-recommends ${missing[*]}" >&2
            exit 3
        }
        sudo=(sudo)
    fi
    log=$(mktemp "${TMPDIR:-/tmp}/kshs-apt.XXXXXX")
    refresh() {
        say "fetching the package lists$1"
        "${sudo[@]}" apt-get update >>"$log" 2>&1 || say "apt-get update failed; going on with the lists at hand"
    }
    # A fresh machine has no lists, and old ones name versions that mirrors no longer have.
    apt_lists=/var/lib/apt/lists
    eval "$(apt-config shell apt_lists Dir::State::lists/d)"
    if ! compgen -G "$apt_lists/*Packages*" >/dev/null; then
        refresh ", there are none"
    elif [ -z "$(find "$apt_lists" -maxdepth 0 -mtime -7)" ]; then
        refresh ", they are older than a week"
    fi
    say "installing ${#missing[@]} Debian packages: ${missing[*]}"
    apt=("${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -y --no-install-recommends)
    apt+=(-o Dpkg::Options::=--force-unsafe-io install "${missing[@]}")
    if ! "${apt[@]}" >>"$log" 2>&1; then
        refresh " anew, for packages could not be installed"
        if ! "${apt[@]}" >>"$log" 2>&1; then
            tail -n 15 "$log" >&2
            echo "setup: apt-get failed; the whole log is $log" >&2
            exit 3
        fi
    fi
    rm -f "$log"
fi

# libvirt looks this user up when root starts it, whatever its configuration says.  The package that
# would make it (libvirt-daemon-system) brings a system service along, which is not needed.
if ((uid == 0)) && ! getent passwd libvirt-qemu >/dev/null; then
    say "adding the system user libvirt-qemu"
    useradd --system --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin libvirt-qemu
fi

# Building the guest's image without root needs ranges of ids; useradd gives them to new users, not to old ones.
if ((uid != 0)) && ! { grep -qs "^$(id -un):" /etc/subuid && grep -qs "^$(id -un):" /etc/subgid; }; then
    say "$(id -un) has no range in /etc/subuid and /etc/subgid, which the guest's image needs; run:"
    say "  sudo /usr/sbin/usermod --add-subuids 100000-165535 --add-subgids 100000-165535 $(id -un)"
fi

python=${PYTHON:-python3}
stamp=.venv/.kshs-$level
if [ ! -e "$stamp" ] || [ pyproject.toml -nt "$stamp" ] || [ scripts/constraints.txt -nt "$stamp" ]; then
    # pip has much to say that nobody can act on; it is shown when something failed.
    log=$(mktemp "${TMPDIR:-/tmp}/kshs-pip.XXXXXX")
    quietly() {
        "$@" >"$log" 2>&1 && return
        tail -n 15 "$log" >&2
        echo "setup: the Python packages could not be installed; the whole log is $log" >&2
        exit 3
    }
    if [ ! -x .venv/bin/python ]; then
        say "making the virtual environment .venv with $("$python" --version)"
        quietly "$python" -m venv .venv
    fi
    say "installing Python packages (libvirt-python is compiled, about 15 s)"
    quietly .venv/bin/python -m pip install --disable-pip-version-check -c scripts/constraints.txt -e ".$extras"
    rm -f "$log"
    touch "$stamp"
fi

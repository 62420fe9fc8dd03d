#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The installed system from here on: what Windows does around the scripts, with Wine in its place.
#
# First logon: the commands of the answer file.  Every logon: the Run key.  All the time: the services and
# the stand-ins that Linux has to carry out (sshd, shutdown).
D=/usr/lib/kshs-double
C=/root/.wine/drive_c
export HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8
export WINEPREFIX=/root/.wine WINEARCH=win64 WINEDEBUG=-all,err+ntoskrnl
export WINEDLLOVERRIDES='mscoree=;mshtml=;winemenubuilder.exe='
wine=/usr/lib/wine/wine64
exec >/dev/tty0 2>&1 </dev/null

# What Linux carries out for Windows.  It looks twice a second and starts few processes for it: under TCG each
# one takes from the processor what Wine needs.
carry_out() {
    while sleep 0.5; do
        if [ ! -e /run/dropbear.pid ] && [ -s $C/ProgramData/ssh/administrators_authorized_keys ] &&
            grep -q '[s]poolsv.exe.sshd' /proc/[0-9]*/cmdline 2>/dev/null; then
            start_sshd && say "sshd listens"
        fi
        [ -s $C/standins/calls ] || continue
        last=$(grep '^shutdown' $C/standins/calls) || continue
        rm -f $C/standins/calls
        sleep 1
        say "$last"
        # The registry is in the server's memory until it ends.
        /usr/lib/wine/wineserver64 -k
        /usr/lib/wine/wineserver64 -w
        sync
        mount -o remount,ro /
        case $last in
        */r*) reboot -f ;;
        *) poweroff -f ;;
        esac
    done
}

# The keys that provisioning put into ProgramData, in the forms of the server that there is here.
start_sshd() {
    keys=$C/ProgramData/ssh
    [ -s $keys/ssh_host_ed25519_key ] && [ -s $keys/administrators_authorized_keys ] || return 1
    mkdir -p /etc/dropbear /root/.ssh
    rm -f /etc/dropbear/host_key
    /usr/lib/dropbear/dropbearconvert openssh dropbear $keys/ssh_host_ed25519_key /etc/dropbear/host_key || return 1
    tr -d '\r' <$keys/administrators_authorized_keys >/root/.ssh/authorized_keys
    chmod 600 /root/.ssh/authorized_keys
    LANG=C.UTF-8 /usr/sbin/dropbear -E -e -m -s -k -W 1048576 -P /run/dropbear.pid -p 22 \
        -r /etc/dropbear/host_key
}

# What Windows has in its registry, in the form of Wine's file.
registry() {
    printf '\n[System\\\\CurrentControlSet\\\\Control\\\\Session Manager\\\\Environment] 1\n"PATH"="%s"\n' \
        "$(sed 's|\\|\\\\|g' $D/path)"
    printf '\n[Software\\\\Wine\\\\Ports] 1\n"COM1"="/dev/ttyS0"\n'
    # As on Windows Server 2025: sshd is there, and not started.  Any service program of Wine's will do.
    faulty sshd-missing || service sshd
    for name in wuauserv UsoSvc DoSvc WaaSMedicSvc w32time; do
        service $name
    done
}

service() {
    printf '\n[System\\\\CurrentControlSet\\\\Services\\\\%s] 1\n"DisplayName"="%s"\n' "$1" "$1"
    printf '"ImagePath"="C:\\\\windows\\\\system32\\\\spoolsv.exe %s"\n"ObjectName"="LocalSystem"\n' "$1"
    printf '"ErrorControl"=dword:00000001\n"Start"=dword:00000003\n"Type"=dword:00000010\n'
}

specialize() {
    say "specialize"
    # The account of the answer file; its programs run as root.
    user=$(answers 'settings:oobeSystem/component:Microsoft-Windows-Shell-Setup/UserAccounts/LocalAccounts/LocalAccount/Name')
    echo "$user:x:0:0::/root:/bin/sh" >>/etc/passwd
    mkdir -p $C/standins/bin $C/ProgramData
    while read -r name; do
        cp $D/standin.exe "$C/standins/bin/$name.exe"
    done <$D/standins
    # Once, at the first start: what --resume does must then succeed.
    ! faulty first-logon-failure ||
        printf '5\t/set testsigning\tAccess is denied.^\n' >$C/standins/bcdedit.answers
    ln -sfn $MEDIUM /root/.wine/dosdevices/d:
    ln -sfn $PROVISIONING /root/.wine/dosdevices/e:
    # Into the file itself, while nobody has it open: each reg.exe costs a second here.
    registry >>/root/.wine/system.reg
    /usr/lib/wine/wineserver64 -p
    answers 'settings:specialize/component:Microsoft-Windows-Deployment/RunSynchronous/RunSynchronousCommand/Path' |
        while read -r line; do
            $wine cmd /d /c "$line" </dev/null
        done
    : >$D/specialized
}

# Every first-logon command, as the answer file has it: all at the same time, as Windows does.
first_logon() {
    say "first logon"
    : >$D/logged-on
    sync
    answers 'settings:oobeSystem/component:Microsoft-Windows-Shell-Setup/FirstLogonCommands/SynchronousCommand/CommandLine' |
        while read -r line; do
            # The words outside of quotes, and the one quoted argument behind them.
            program=${line%%\"*}
            rest=${line#*\"}
            $wine $program "${rest%\"}" &
        done
}

# So much that the provisioning CD does not fit any more.
fill_disk() {
    free=$(df -k / | awk 'NR == 2 { print $4 }')
    fallocate -l "$((free - 200))k" /filler
}

. $D/common.sh
FAULT=$(cat $D/fault)
ANSWERS=$D/answer
say() { echo "$(cut -d' ' -f1 /proc/uptime) $*"; }
# As late as it can be seen: in the finished guest, which has no CDs.
! faulty no-network || [ -d $MEDIUM/sources ] || ip link set eth0 down
stty -F /dev/ttyS0 raw -echo 115200
rm -f $C/standins/calls
[ -e $D/specialized ] || specialize
! faulty disk-full || [ -e $D/logged-on ] || fill_disk
/usr/lib/wine/wineserver64 -p
carry_out &
if [ ! -e $D/logged-on ]; then
    first_logon
else
    say "logon"
    rm -f $C/standins/*.answers
    # Starts the services, and then what the Run key names.
    $wine wineboot
fi
say "the desktop"
while sleep 1; do sync; done

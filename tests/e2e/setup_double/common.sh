# SPDX-License-Identifier: Apache-2.0
# What both roles of the double share: the CDs, the answer file, the fault that a test asks for.
MEDIUM=/cd/medium
PROVISIONING=/cd/provisioning
ANSWERS=/tmp/answer

say() { echo "setup double: $*"; }

# As Windows Setup does with an error of the answer file: says it on the screen and waits for a person.  It says
# it on COM1, too, so that a test can tell why it waits.
stuck() {
    say "$*"
    say "$*" >/dev/ttyS0
    while :; do sleep 3600; done
}

# Waits at most $1 tenths of a second for both CDs.
mount_cds() {
    tries=0
    while [ $tries -lt "$1" ] && ! { [ -d $MEDIUM/sources ] && [ -n "$ANSWER_FILE" ]; }; do
        for device in /dev/sr[0-9]; do
            [ -b "$device" ] || continue
            mkdir -p "/cd/try${device#/dev/sr}"
            place="/cd/try${device#/dev/sr}"
            mount -t udf -o ro "$device" "$place" 2>/dev/null || mount -t iso9660 -o ro "$device" "$place" 2>/dev/null ||
                continue
            found=$(find "$place" -maxdepth 1 -iname autounattend.xml | head -n 1)
            if [ -n "$found" ]; then
                mkdir -p $PROVISIONING
                mount -o move "$place" $PROVISIONING
                ANSWER_FILE=$PROVISIONING/${found##*/}
            elif [ -e "$place/sources/install.wim" ]; then
                mkdir -p $MEDIUM
                mount -o move "$place" $MEDIUM
            else
                umount "$place"
            fi
        done
        sleep 0.1
        tries=$((tries + 1))
    done
    FAULT=none
    [ ! -e $MEDIUM/double/fault ] || FAULT=$(tr -d ' \n' <$MEDIUM/double/fault)
}

# Whether the test asked for this fault; commas separate several.
faulty() {
    case ",$FAULT," in
    *",$1,"*) true ;;
    *) false ;;
    esac
}

# The texts at a path of the answer file, as awk prints them; see answer.awk.
answers() { sed -n "s|^unattend/$1=||p" $ANSWERS; }

#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What Windows Setup would be seen doing: finds the answer file, keeps to it, partitions, installs, reboots.
. /double/common.sh
ANSWER_FILE=
mount_cds 100
[ -d $MEDIUM/sources ] || stuck "A required CD/DVD drive device driver is missing."
[ -n "$ANSWER_FILE" ] || stuck "Which language do you want to install? (there is no answer file)"
awk -f /double/answer.awk "$ANSWER_FILE" >/tmp/answer
! faulty hang-in-setup || stuck "Copying Windows files (0%)"

SETUP=settings:windowsPE/component:Microsoft-Windows-Setup
OS=$SETUP/ImageInstall/OSImage
DISK=$SETUP/DiskConfiguration/Disk
[ "$(answers $SETUP/UserData/AcceptEula)" = true ] || stuck "Please accept the licence terms."
[ "$(answers $OS/InstallFrom/MetaData/Key)" = /IMAGE/INDEX ] || stuck "Select the operating system you want to install."
index=$(answers $OS/InstallFrom/MetaData/Value)
edition=$(sed -n "s/^$index //p" $MEDIUM/double/images)
! faulty wrong-edition || edition=
[ -n "$edition" ] || stuck "Windows cannot find image $index of the answer file on this medium."
[ "$(answers $DISK/DiskID)" = 0 ] && [ "$(answers $OS/InstallTo/DiskID)" = 0 ] || stuck "There is no such disk."
[ "$(answers $DISK/WillWipeDisk)" = true ] || stuck "Where do you want to install Windows?"
target=$(answers $OS/InstallTo/PartitionID)

if [ -d /sys/firmware/efi ]; then firmware=uefi label=gpt; else firmware=bios label=dos; fi
say "image $index, $edition, to partition $target; $firmware"

# Each partition as one line "type size|rest".
answers "$DISK/CreatePartitions/CreatePartition/Type" >/tmp/types
sed -n "s|^unattend/$DISK/CreatePartitions/CreatePartition/\(Size\)=\([0-9]*\)$|\2|p;
        s|^unattend/$DISK/CreatePartitions/CreatePartition/Extend=true$|rest|p" /tmp/answer >/tmp/sizes
active=$(answers "$DISK/ModifyPartitions/ModifyPartition/Active")
{
    echo "label: $label"
    number=0
    paste /tmp/types /tmp/sizes | while read -r type size; do
        number=$((number + 1))
        [ "$size" = rest ] && field= || field="size=${size}MiB, "
        case "$label $type" in
        'gpt EFI') echo "${field}type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B" ;;
        'gpt MSR') echo "${field}type=E3C9E316-0B5C-4DB8-817D-F92DF00215AE" ;;
        'gpt Primary') echo "${field}type=EBD0A0A2-B9E5-4433-87C0-68B6B72699C7" ;;
        'dos Primary') [ $number = 1 ] && [ "$active" = true ] && echo "${field}type=7, bootable" || echo "${field}type=7" ;;
        *) echo "refused: $type on $label" ;;
        esac
    done
} >/tmp/layout
grep -q refused /tmp/layout && stuck "Windows cannot be installed to this disk: $(grep refused /tmp/layout)"
[ $label = dos ] || grep -q C12A7328 /tmp/layout || stuck "There is no EFI system partition."
[ $label = gpt ] || grep -q bootable /tmp/layout || stuck "There is no active partition."
disk=/dev/sda
sfdisk --quiet --wipe always $disk </tmp/layout || stuck "sfdisk refuses the layout of the answer file"
[ -b "$disk$target" ] || stuck "Partition $target of the answer file does not exist."
format=$(answers "$DISK/ModifyPartitions/ModifyPartition/Format" | tail -n 1)
[ "$format" = NTFS ] || stuck "Windows must be installed to a partition formatted as NTFS."

say "copying"
# The pack holds the parts of the root file system that are not empty; the map says where each goes.
skip=0
while read -r seek count; do
    # Past Linux's cache: the processor, which is slow under TCG, touches no byte then.
    dd if=$MEDIUM/double/root.pack of=$disk$target bs=1M skip=$skip seek="$seek" count="$count" conv=notrunc \
        iflag=direct oflag=direct 2>/dev/null || stuck "The disk cannot be written."
    skip=$((skip + count))
done <$MEDIUM/double/root.map
dd if=$MEDIUM/double/boot.fat of=${disk}1 bs=1M 2>/dev/null
if [ $firmware = bios ]; then
    dd if=$MEDIUM/double/boot.img of=$disk bs=440 count=1 conv=notrunc 2>/dev/null
    dd if=$MEDIUM/double/core.img of=$disk bs=512 seek=1 conv=notrunc 2>/dev/null
fi
sync
say "restarting"
reboot -f

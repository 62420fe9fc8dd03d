/* SPDX-License-Identifier: Apache-2.0
 *
 * interface.h - device interfaces as the registry has them, for interface.c and notify.c.
 */
#ifndef WDMSUP_INTERFACE_H
#define WDMSUP_INTERFACE_H

#include "wdmsup.h"

/* In characters; longer names are passed over. */
#define SUP_LINK_LENGTH 512

/* Is called with the name of an interface (\??\...); any other answer than a success ends it. */
typedef NTSTATUS (*SUP_INTERFACE)(PCWSTR Link, PVOID Context);

/* Every interface of a class that is enabled, or all of them.  PASSIVE_LEVEL. */
NTSTATUS SupEnumerateInterfaces(const GUID *Class, BOOLEAN All, SUP_INTERFACE Each, PVOID Context);

NTSTATUS NTAPI SupIoRegisterDeviceInterface(PDEVICE_OBJECT Device, const GUID *Class, PUNICODE_STRING Reference,
                                            PUNICODE_STRING Link);
NTSTATUS NTAPI SupIoSetDeviceInterfaceState(PUNICODE_STRING Link, BOOLEAN Enable);
NTSTATUS NTAPI SupIoOpenDeviceInterfaceRegistryKey(PUNICODE_STRING Link, ACCESS_MASK Access, PHANDLE Key);
NTSTATUS NTAPI SupIoGetDeviceInterfaceAlias(PUNICODE_STRING Link, const GUID *Class, PUNICODE_STRING Alias);
NTSTATUS NTAPI SupIoGetDeviceInterfaces(const GUID *Class, PDEVICE_OBJECT Device, ULONG Flags, PWSTR *List);

#endif

/* SPDX-License-Identifier: Apache-2.0
 *
 * missing_new.c - functions that ks.h has for systems newer than the oldest
 * one that we are built for.  mingw-w64 declares none of them; their structures
 * are not looked at, so a pointer is a pointer here.
 */
#include "missing.h"

struct _KSDEVICE_PROFILE_INFO;
struct _KSDEVICE_THERMAL_DISPATCH;

/* ---- what a device is good for, and how warm it may get -------------------------------- */

MISSING(KsInitializeDeviceProfile, (PKSFILTERFACTORY FilterFactory))
MISSING(KsPublishDeviceProfile, (PKSFILTERFACTORY FilterFactory, const struct _KSDEVICE_PROFILE_INFO *Profile))
MISSING(KsPersistDeviceProfile, (PKSFILTERFACTORY FilterFactory))
MISSING(KsDeviceRegisterThermalDispatch, (PKSDEVICE Device, const struct _KSDEVICE_THERMAL_DISPATCH *Dispatch))
MISSING(KsGenerateThermalEvent, (PUNICODE_STRING CallbackContextUniqueId, ULONG ThermalState))

/* ---- clocks ------------------------------------------------------------------------------ */

MISSING(KsCreateClock2, (HANDLE ConnectionHandle, PKSCLOCK_CREATE ClockCreate, ACCESS_MASK DesiredAccess,
                         PHANDLE ClockHandle))

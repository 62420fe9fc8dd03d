/* SPDX-License-Identifier: Apache-2.0
 *
 * pofx.c - the power management framework, for devices whose power never changes.
 *
 * A driver learns of each change between the active and the idle condition of
 * its components, as it asks for them.  Nothing follows from idleness here: no
 * component leaves F0, no device leaves D0, so the callbacks for those are never
 * called.  That is a choice which the pages leave to the framework.
 */
#include "wdmsup.h"

#define VERSION_1 1u
#define VERSION_2 2u
#define VERSION_3 3u
#define BLOCKING 0x1u
#define ASYNC_ONLY 0x2u

typedef VOID (NTAPI *CONDITION)(PVOID Context, ULONG Component);

/* ---- what drivers hand over, in its three forms -------------------------------------------------- */

typedef struct CALLBACKS {
    CONDITION Active;
    CONDITION Idle;
    PVOID IdleState;
    PVOID PowerRequired;
    PVOID PowerNotRequired;
    PVOID PowerControl;
} CALLBACKS;

typedef struct DEVICE_1 {
    ULONG Version;
    ULONG Count;
    CALLBACKS Callbacks;
    PVOID Context;
    PO_FX_COMPONENT_V1 Components[ANYSIZE_ARRAY];
} DEVICE_1;

typedef struct DEVICE_2 {
    ULONG Version;
    ULONGLONG Flags;
    CALLBACKS Callbacks;
    PVOID Context;
    ULONG Count;
    PO_FX_COMPONENT_V2 Components[ANYSIZE_ARRAY];
} DEVICE_2;

typedef struct DEVICE_3 {
    ULONG Version;
    ULONGLONG Flags;
    CALLBACKS Callbacks;
    PVOID DirectedUp, DirectedDown;
    ULONG DirectedSeconds;
    PVOID Context;
    ULONG Count;
    PO_FX_COMPONENT_V2 Components[ANYSIZE_ARRAY];
} DEVICE_3;

/* ---- what is kept of it -------------------------------------------------------------------------- */

typedef struct COMPONENT {
    LONG References;
    BOOLEAN Active;
    BOOLEAN Idling;                     /* told to be idle, and has not said yet that it is */
    HANDLE Telling;                     /* id of the thread that is about its callbacks */
} COMPONENT;

typedef struct SUP_FX {                 /* behind POHANDLE */
    LIST_ENTRY Entry;
    PDEVICE_OBJECT Pdo;
    CALLBACKS Callbacks;
    PVOID Context;
    BOOLEAN Started;
    LONG Posted;                        /* calls to come from another thread */
    ULONG Count;
    COMPONENT Components[ANYSIZE_ARRAY];
} SUP_FX;

typedef struct POSTED {
    SUP_FX *Device;
    ULONG Component;
} POSTED;

static SUP_LOCK Lock;                   /* over everything here */
static LIST_ENTRY Devices = { &Devices, &Devices };
static volatile LONG Changes;           /* is woken with each */

NTSTATUS NTAPI SupPoFxRegisterDevice(PDEVICE_OBJECT Pdo, const VOID *Device, SUP_FX **Handle);
VOID NTAPI SupPoFxStartDevicePowerManagement(SUP_FX *Device);
VOID NTAPI SupPoFxUnregisterDevice(SUP_FX *Device);
VOID NTAPI SupPoFxActivateComponent(SUP_FX *Device, ULONG Component, ULONG Flags);
VOID NTAPI SupPoFxIdleComponent(SUP_FX *Device, ULONG Component, ULONG Flags);
VOID NTAPI SupPoFxCompleteIdleCondition(SUP_FX *Device, ULONG Component);
NTSTATUS NTAPI SupPoFxPowerControl(SUP_FX *Device, const GUID *Code, PVOID In, SIZE_T InSize, PVOID Out,
                                   SIZE_T OutSize, PSIZE_T Returned);

/* ---- registration: PASSIVE_LEVEL ----------------------------------------------------------------- */

static BOOLEAN IsGood(const CALLBACKS *Callbacks, ULONG States, ULONG Deepest, const VOID *List)
{
    if (!States || !List || Deepest >= States)
        return FALSE;
    return States == 1 || (Callbacks->Active && Callbacks->Idle && Callbacks->IdleState);
}

/* A component that others depend on has a reference for each of them, which it keeps: it is active whenever they
 * are.  FALSE: something is wrong with the description. */
static BOOLEAN TakeOver(SUP_FX *Fx, const VOID *Components, BOOLEAN First)
{
    const PO_FX_COMPONENT_V1 *one = Components;
    const PO_FX_COMPONENT_V2 *two = Components;
    ULONG i, provider;

    for (i = 0; i < Fx->Count; i++) {
        Fx->Components[i].Active = TRUE;
        if (First) {
            if (!IsGood(&Fx->Callbacks, one[i].IdleStateCount, one[i].DeepestWakeableIdleState, one[i].IdleStates))
                return FALSE;
            continue;
        }
        if (!IsGood(&Fx->Callbacks, two[i].IdleStateCount, two[i].DeepestWakeableIdleState, two[i].IdleStates))
            return FALSE;
        for (provider = 0; provider < two[i].ProviderCount; provider++) {
            if (!two[i].Providers || two[i].Providers[provider] >= Fx->Count || two[i].Providers[provider] == i)
                return FALSE;
            Fx->Components[two[i].Providers[provider]].References++;
        }
    }
    return TRUE;
}

static SUP_FX *Find(PDEVICE_OBJECT Pdo)
{
    PLIST_ENTRY entry;

    for (entry = Devices.Flink; entry != &Devices; entry = entry->Flink) {
        if (CONTAINING_RECORD(entry, SUP_FX, Entry)->Pdo == Pdo)
            return CONTAINING_RECORD(entry, SUP_FX, Entry);
    }
    return NULL;
}

NTSTATUS NTAPI SupPoFxRegisterDevice(PDEVICE_OBJECT Pdo, const VOID *Device, SUP_FX **Handle)
{
    const DEVICE_1 *one = Device;
    const DEVICE_2 *two = Device;
    const DEVICE_3 *three = Device;
    const VOID *components;
    SUP_FX *fx;
    ULONG count;

    if (!Pdo || !Device || !Handle || one->Version < VERSION_1 || one->Version > VERSION_3)
        return STATUS_INVALID_PARAMETER;
    count = one->Version == VERSION_1 ? one->Count : one->Version == VERSION_2 ? two->Count : three->Count;
    if (!count || count > MAXUSHORT)
        return STATUS_INVALID_PARAMETER;
    fx = kshs_zalloc(FIELD_OFFSET(SUP_FX, Components) + (SIZE_T)count * sizeof(COMPONENT), SUP_TAG);
    if (!fx)
        return STATUS_INSUFFICIENT_RESOURCES;
    fx->Pdo = Pdo;
    fx->Count = count;
    fx->Callbacks = one->Version == VERSION_1 ? one->Callbacks : two->Callbacks;
    fx->Context = one->Version == VERSION_1 ? one->Context : one->Version == VERSION_2 ? two->Context : three->Context;
    components = one->Version == VERSION_1   ? (const VOID *)one->Components
                 : one->Version == VERSION_2 ? two->Components
                                             : three->Components;
    if (!TakeOver(fx, components, one->Version == VERSION_1)) {
        ExFreePoolWithTag(fx, SUP_TAG);
        return STATUS_INVALID_PARAMETER;
    }
    RtlAcquireSRWLockExclusive(&Lock);
    if (Find(Pdo))
        KeBugCheckEx(INTERNAL_POWER_ERROR, (ULONG_PTR)Pdo, 0, 0, 0);       /* the page says that it is one */
    InsertTailList(&Devices, &fx->Entry);
    RtlReleaseSRWLockExclusive(&Lock);
    *Handle = fx;
    return STATUS_SUCCESS;
}

/* ---- conditions: IRQL <= DISPATCH_LEVEL ---------------------------------------------------------- */

static VOID Changed(VOID)
{
    Changes++;
    RtlWakeAddressAll(&Changes);
}

/* With the lock held, which it gives up around the callbacks.  One thread at a time tells a component; whoever
 * comes meanwhile has changed what that thread looks at when it is back. */
static VOID Settle(SUP_FX *Device, ULONG Component)
{
    COMPONENT *component = &Device->Components[Component];
    CONDITION tell;

    if (component->Telling)
        return;
    component->Telling = PsGetCurrentThreadId();
    for (;;) {
        if (component->References > 0 && !component->Active && !component->Idling) {
            component->Active = TRUE;
            tell = Device->Callbacks.Active;
        } else if (component->References <= 0 && component->Active && Device->Started) {
            tell = Device->Callbacks.Idle;
            component->Active = FALSE;
            component->Idling = tell != NULL;
        } else {
            break;
        }
        RtlReleaseSRWLockExclusive(&Lock);
        if (tell)
            tell(Device->Context, Component);
        RtlAcquireSRWLockExclusive(&Lock);
    }
    component->Telling = NULL;
    Changed();
}

static VOID NTAPI SettleLater(PVOID Instance, PVOID Context)
{
    POSTED *posted = Context;
    SUP_FX *device = posted->Device;

    UNREFERENCED_PARAMETER(Instance);
    RtlAcquireSRWLockExclusive(&Lock);
    Settle(device, posted->Component);
    device->Posted--;
    Changed();
    RtlReleaseSRWLockExclusive(&Lock);
    ExFreePoolWithTag(posted, SUP_TAG);
}

/* With the lock held, which it gives up while it waits. */
static VOID WaitForChange(VOID)
{
    LONG seen = Changes;

    RtlReleaseSRWLockExclusive(&Lock);
    (void)RtlWaitOnAddress(&Changes, &seen, sizeof(seen), NULL);
    RtlAcquireSRWLockExclusive(&Lock);
}

static VOID Change(SUP_FX *Device, ULONG Component, ULONG Flags, LONG By)
{
    HANDLE me = PsGetCurrentThreadId();
    COMPONENT *component;
    POSTED *posted = NULL;

    if (Component >= Device->Count)
        return;
    component = &Device->Components[Component];
    if (Flags & ASYNC_ONLY)
        posted = kshs_zalloc(sizeof(*posted), SUP_TAG);
    RtlAcquireSRWLockExclusive(&Lock);
    component->References += By;
    if (posted) {
        posted->Device = Device;
        posted->Component = Component;
        Device->Posted++;
        if (!NT_SUCCESS(TpSimpleTryPost(SettleLater, posted, NULL))) {
            Device->Posted--;
            ExFreePoolWithTag(posted, SUP_TAG);
            posted = NULL;
        }
    }
    if (!posted) {
        Settle(Device, Component);
        while ((Flags & BLOCKING) && component->Telling != me &&
               (component->Telling || (By > 0 && component->References > 0 && !component->Active)))
            WaitForChange();
    }
    RtlReleaseSRWLockExclusive(&Lock);
}

VOID NTAPI SupPoFxActivateComponent(SUP_FX *Device, ULONG Component, ULONG Flags)
{
    Change(Device, Component, Flags, 1);
}

VOID NTAPI SupPoFxIdleComponent(SUP_FX *Device, ULONG Component, ULONG Flags)
{
    Change(Device, Component, Flags, -1);
}

VOID NTAPI SupPoFxCompleteIdleCondition(SUP_FX *Device, ULONG Component)
{
    if (Component >= Device->Count)
        return;
    RtlAcquireSRWLockExclusive(&Lock);
    Device->Components[Component].Idling = FALSE;
    Settle(Device, Component);
    RtlReleaseSRWLockExclusive(&Lock);
}

/* PASSIVE_LEVEL.  What nobody holds is idle from here on. */
VOID NTAPI SupPoFxStartDevicePowerManagement(SUP_FX *Device)
{
    ULONG i;

    RtlAcquireSRWLockExclusive(&Lock);
    Device->Started = TRUE;
    for (i = 0; i < Device->Count; i++)
        Settle(Device, i);
    RtlReleaseSRWLockExclusive(&Lock);
}

static BOOLEAN Busy(const SUP_FX *Device)
{
    ULONG i;

    for (i = 0; i < Device->Count; i++) {
        if (Device->Components[i].Telling)
            return TRUE;
    }
    return Device->Posted != 0;
}

/* PASSIVE_LEVEL.  No callback runs after it. */
VOID NTAPI SupPoFxUnregisterDevice(SUP_FX *Device)
{
    RtlAcquireSRWLockExclusive(&Lock);
    Device->Started = FALSE;
    while (Busy(Device))
        WaitForChange();
    RemoveEntryList(&Device->Entry);
    RtlReleaseSRWLockExclusive(&Lock);
    ExFreePoolWithTag(Device, SUP_TAG);
}

/* ---- what answers callbacks that never come, and what would help to choose a state --------------- */

SUP_NOTHING(PoFxCompleteIdleState)
SUP_NOTHING(PoFxCompleteDevicePowerNotRequired)
SUP_NOTHING(PoFxCompleteDirectedPowerDown)
SUP_NOTHING(PoFxReportDevicePoweredOn)
SUP_NOTHING(PoFxNotifySurprisePowerOn)
SUP_NOTHING(PoFxSetComponentLatency)
SUP_NOTHING(PoFxSetComponentResidency)
SUP_NOTHING(PoFxSetComponentWake)
SUP_NOTHING(PoFxSetDeviceIdleTimeout)

/* There is no platform extension that knows a code. */
NTSTATUS NTAPI SupPoFxPowerControl(SUP_FX *Device, const GUID *Code, PVOID In, SIZE_T InSize, PVOID Out,
                                   SIZE_T OutSize, PSIZE_T Returned)
{
    UNREFERENCED_PARAMETER(Device);
    UNREFERENCED_PARAMETER(Code);
    UNREFERENCED_PARAMETER(In);
    UNREFERENCED_PARAMETER(InSize);
    UNREFERENCED_PARAMETER(Out);
    UNREFERENCED_PARAMETER(OutSize);
    if (Returned)
        *Returned = 0;
    return STATUS_NOT_IMPLEMENTED;
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * properties.c - KSPROPSETID_Kshs.  The class driver checks minimum lengths
 * from the tables; the handlers check the lengths themselves again, exactly,
 * because the data comes from whoever holds a handle.
 */
#include "avshs.h"

typedef struct AVSHS_PROPERTY_SEEN {
    KSPROPERTY property;
    uint32_t pin_id;
} AVSHS_PROPERTY_SEEN;

typedef struct AVSHS_PROPERTY_PIN_HANDSHAKE {
    KSPROPERTY property;
    kshs_handshake request;
} AVSHS_PROPERTY_PIN_HANDSHAKE;

/* What follows KSPROPERTY on the wire follows it without a gap; the sizes are then those of the wire. */
#define SEEN_BYTES (FIELD_OFFSET(AVSHS_PROPERTY_SEEN, pin_id) + sizeof(uint32_t))
C_ASSERT(FIELD_OFFSET(AVSHS_PROPERTY_SEEN, pin_id) == sizeof(KSPROPERTY));
C_ASSERT(FIELD_OFFSET(AVSHS_PROPERTY_PIN_HANDSHAKE, request) == sizeof(KSPROPERTY));
C_ASSERT(sizeof(AVSHS_PROPERTY_PIN_HANDSHAKE) == sizeof(KSPROPERTY) + sizeof(kshs_handshake));


static ULONG InputLength(PIRP Irp)
{
    return IoGetCurrentIrpStackLocation(Irp)->Parameters.DeviceIoControl.InputBufferLength;
}

static ULONG OutputLength(PIRP Irp)
{
    return IoGetCurrentIrpStackLocation(Irp)->Parameters.DeviceIoControl.OutputBufferLength;
}

static BOOLEAN LengthsAre(PIRP Irp, SIZE_T Input, SIZE_T Data)
{
    return InputLength(Irp) == Input && OutputLength(Irp) == Data;
}

static NTSTATUS SetBehaviour(PIRP Irp, PKSIDENTIFIER Request, PVOID Data)
{
    kshs_behaviour behaviour;

    UNREFERENCED_PARAMETER(Request);
    if (!LengthsAre(Irp, sizeof(KSPROPERTY), sizeof(behaviour)))
        return STATUS_INVALID_BUFFER_SIZE;
    RtlCopyMemory(&behaviour, Data, sizeof(behaviour));
    return AvshsSetBehaviour(&behaviour);
}

static NTSTATUS GetSeen(PIRP Irp, PKSIDENTIFIER Request, PVOID Data)
{
    kshs_seen seen;
    uint32_t pin_id;
    NTSTATUS status;

    if (!LengthsAre(Irp, SEEN_BYTES, sizeof(seen)))
        return STATUS_INVALID_BUFFER_SIZE;
    RtlCopyMemory(&pin_id, (const UCHAR *)Request + sizeof(KSPROPERTY), sizeof(pin_id));
    status = AvshsSeenRead(pin_id, &seen);
    if (!NT_SUCCESS(status))
        return status;
    RtlCopyMemory(Data, &seen, sizeof(seen));
    Irp->IoStatus.Information = sizeof(seen);
    return STATUS_SUCCESS;
}

/* ---- SEEN_LATER -------------------------------------------------------------------- */

typedef struct AVSHS_LATER {
    PIO_WORKITEM item;
    PIRP irp;
    kshs_seen *data;            /* the class driver's buffer, good until the IRP is completed */
    uint32_t pin_id;
} AVSHS_LATER;

/* In the system's process, whoever sent the request. */
static VOID NTAPI AnswerLater(PDEVICE_OBJECT Device, PVOID Context)
{
    AVSHS_LATER *later = Context;
    kshs_seen seen;
    NTSTATUS status = AvshsSeenRead(later->pin_id, &seen);

    UNREFERENCED_PARAMETER(Device);
    if (NT_SUCCESS(status)) {
        RtlCopyMemory(later->data, &seen, sizeof(seen));
        later->irp->IoStatus.Information = sizeof(seen);
    }
    later->irp->IoStatus.Status = status;
    KsCompletePendingRequest(later->irp);
    IoFreeWorkItem(later->item);
    ExFreePoolWithTag(later, AVSHS_POOL_TAG);
}

static NTSTATUS GetSeenLater(PIRP Irp, PKSIDENTIFIER Request, PVOID Data)
{
    AVSHS_LATER *later;

    if (!LengthsAre(Irp, SEEN_BYTES, sizeof(kshs_seen)))
        return STATUS_INVALID_BUFFER_SIZE;
    later = ExAllocatePoolWithTag(NonPagedPool, sizeof(*later), AVSHS_POOL_TAG);
    if (later == NULL)
        return STATUS_INSUFFICIENT_RESOURCES;
    later->item = IoAllocateWorkItem(IoGetCurrentIrpStackLocation(Irp)->DeviceObject);
    if (later->item == NULL) {
        ExFreePoolWithTag(later, AVSHS_POOL_TAG);
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    later->irp = Irp;
    later->data = Data;
    RtlCopyMemory(&later->pin_id, (const UCHAR *)Request + sizeof(KSPROPERTY), sizeof(later->pin_id));
    IoMarkIrpPending(Irp);
    IoQueueWorkItem(later->item, AnswerLater, DelayedWorkQueue, later);
    return STATUS_PENDING;
}

static NTSTATUS SetReset(PIRP Irp, PKSIDENTIFIER Request, PVOID Data)
{
    uint32_t pin_id;

    UNREFERENCED_PARAMETER(Request);
    if (!LengthsAre(Irp, sizeof(KSPROPERTY), sizeof(pin_id)))
        return STATUS_INVALID_BUFFER_SIZE;
    RtlCopyMemory(&pin_id, Data, sizeof(pin_id));
    return AvshsReset(pin_id);
}

static NTSTATUS SetUnblock(PIRP Irp, PKSIDENTIFIER Request, PVOID Data)
{
    uint32_t pin_id;

    UNREFERENCED_PARAMETER(Request);
    if (!LengthsAre(Irp, sizeof(KSPROPERTY), sizeof(pin_id)))
        return STATUS_INVALID_BUFFER_SIZE;
    RtlCopyMemory(&pin_id, Data, sizeof(pin_id));
    if (pin_id >= KSHS_AVSHS_PINS)
        return STATUS_INVALID_PARAMETER;
    AvshsBlockRelease(pin_id);
    return STATUS_SUCCESS;
}

static BOOLEAN IsWritten(const KSHANDSHAKE *Answer)
{
    const UCHAR *bytes = (const UCHAR *)Answer;
    SIZE_T i;

    for (i = 0; i < sizeof(*Answer); i++)
        if (bytes[i] != KSHS_OUT_FILL)
            return TRUE;
    return FALSE;
}

static void Narrow(const kshs_handshake *Wide, KSHANDSHAKE *Native)
{
    RtlCopyMemory(&Native->ProtocolId, &Wide->protocol, sizeof(Native->ProtocolId));
    Native->Argument1 = (PVOID)(ULONG_PTR)Wide->argument1;
    Native->Argument2 = (PVOID)(ULONG_PTR)Wide->argument2;
}

static void Widen(const KSHANDSHAKE *Native, kshs_handshake *Wide)
{
    RtlCopyMemory(&Wide->protocol, &Native->ProtocolId, sizeof(Wide->protocol));
    Wide->argument1 = (uint64_t)(ULONG_PTR)Native->Argument1;
    Wide->argument2 = (uint64_t)(ULONG_PTR)Native->Argument2;
}

static NTSTATUS GetPinHandshake(PIRP Irp, PKSIDENTIFIER Request, PVOID Data)
{
    kshs_pin_handshake report;
    kshs_handshake wide;
    KSHANDSHAKE in, out;
    PKSPIN pin;
    uint64_t begin;

    if (!LengthsAre(Irp, sizeof(AVSHS_PROPERTY_PIN_HANDSHAKE), sizeof(report)))
        return STATUS_INVALID_BUFFER_SIZE;
    pin = KsGetPinFromIrp(Irp);
    if (pin == NULL)
        return STATUS_INVALID_DEVICE_REQUEST;

    RtlCopyMemory(&wide, (const UCHAR *)Request + sizeof(KSPROPERTY), sizeof(wide));
    Narrow(&wide, &in);
    RtlFillMemory(&out, sizeof(out), KSHS_OUT_FILL);
    RtlZeroMemory(&report, sizeof(report));
    begin = kshs_now_ns();
    report.returned = (uint32_t)KsPinHandshake(pin, &in, &out);
    report.duration_ns = kshs_now_ns() - begin;
    report.out_written = IsWritten(&out);
    Widen(&out, &report.answer);

    RtlCopyMemory(Data, &report, sizeof(report));
    Irp->IoStatus.Information = sizeof(report);
    return STATUS_SUCCESS;
}

static const KSPROPERTY_ITEM FilterProperties[] = {
    DEFINE_KSPROPERTY_ITEM(KSHS_PROP_BEHAVIOUR, NULL, sizeof(KSPROPERTY), sizeof(kshs_behaviour),
                           SetBehaviour, NULL, 0, NULL, NULL, 0),
    DEFINE_KSPROPERTY_ITEM(KSHS_PROP_SEEN, GetSeen, SEEN_BYTES, sizeof(kshs_seen),
                           NULL, NULL, 0, NULL, NULL, 0),
    DEFINE_KSPROPERTY_ITEM(KSHS_PROP_RESET, NULL, sizeof(KSPROPERTY), sizeof(uint32_t),
                           SetReset, NULL, 0, NULL, NULL, 0),
    DEFINE_KSPROPERTY_ITEM(KSHS_PROP_UNBLOCK, NULL, sizeof(KSPROPERTY), sizeof(uint32_t),
                           SetUnblock, NULL, 0, NULL, NULL, 0),
    DEFINE_KSPROPERTY_ITEM(KSHS_PROP_SEEN_LATER, GetSeenLater, SEEN_BYTES, sizeof(kshs_seen),
                           NULL, NULL, 0, NULL, NULL, 0),
};

static const KSPROPERTY_ITEM PinProperties[] = {
    DEFINE_KSPROPERTY_ITEM(KSHS_PROP_PIN_HANDSHAKE, GetPinHandshake, sizeof(AVSHS_PROPERTY_PIN_HANDSHAKE),
                           sizeof(kshs_pin_handshake), NULL, NULL, 0, NULL, NULL, 0),
};

static const GUID PropertySet = { STATICGUIDOF(KSPROPSETID_Kshs) };

static const KSPROPERTY_SET FilterSets[] = {
    DEFINE_KSPROPERTY_SET(&PropertySet, SIZEOF_ARRAY(FilterProperties), FilterProperties, 0, NULL),
};

static const KSPROPERTY_SET PinSets[] = {
    DEFINE_KSPROPERTY_SET(&PropertySet, SIZEOF_ARRAY(PinProperties), PinProperties, 0, NULL),
};

const KSAUTOMATION_TABLE AvshsFilterAutomation = {
    .PropertySetsCount = SIZEOF_ARRAY(FilterSets),
    .PropertyItemSize = sizeof(KSPROPERTY_ITEM),
    .PropertySets = FilterSets,
    .MethodItemSize = sizeof(KSMETHOD_ITEM),
    .EventItemSize = sizeof(KSEVENT_ITEM),
};

const KSAUTOMATION_TABLE AvshsPinAutomation = {
    .PropertySetsCount = SIZEOF_ARRAY(PinSets),
    .PropertyItemSize = sizeof(KSPROPERTY_ITEM),
    .PropertySets = PinSets,
    .MethodItemSize = sizeof(KSMETHOD_ITEM),
    .EventItemSize = sizeof(KSEVENT_ITEM),
};

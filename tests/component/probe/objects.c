/* SPDX-License-Identifier: Apache-2.0
 *
 * objects.c - bags, relatives, pins that are opened by name, factories that
 * come and go, and what is wrong with a call.
 */
#include "probe.h"

/* {3F0E7C20-8C55-4E0B-9E51-6B1D2A9C0014} */
#define STATIC_PROBE_EXTRA 0x3F0E7C20, 0x8C55, 0x4E0B, 0x9E, 0x51, 0x6B, 0x1D, 0x2A, 0x9C, 0x00, 0x14
static const GUID ExtraCategories[] = { { STATIC_PROBE_EXTRA } };

#define IOCTL_HELD CTL_CODE(FILE_DEVICE_KS, 0xFF9, METHOD_BUFFERED, FILE_ANY_ACCESS)    /* IOCTL_KSHS_HELD */
#define IOCTL_DIRECT CTL_CODE(FILE_DEVICE_KS, 0xFF9, METHOD_OUT_DIRECT, FILE_ANY_ACCESS)
#define HELD_BYTES 16

/* ---- bags ---------------------------------------------------------------------- */

static volatile LONG Freed;

static VOID NTAPI CountFree(PVOID Item)
{
    InterlockedIncrement(&Freed);
    ExFreePool(Item);
}

static PVOID Item(void)
{
    return ExAllocatePoolWithTag(NonPagedPool, 16, PROBE_TAG);
}

NTSTATUS ProbeBags(PKSFILTER Filter, PULONGLONG Numbers)
{
    PVOID a = Item(), b = Item(), c = Item();
    KSOBJECT_BAG one, two;

    if (!a || !b || !c || !NT_SUCCESS(KsAllocateObjectBag(KsGetDevice(Filter), &one)) ||
        !NT_SUCCESS(KsAllocateObjectBag(KsGetDevice(Filter), &two)))
        return STATUS_INSUFFICIENT_RESOURCES;
    Freed = 0;
    Numbers[0] = (ULONG)(KsAddItemToObjectBag(one, a, CountFree) | KsAddItemToObjectBag(one, b, NULL));
    Numbers[1] = (ULONG)KsCopyObjectBagItems(two, one);
    Numbers[2] = KsRemoveItemFromObjectBag(one, a, TRUE);       /* 2: the other one had it, too */
    Numbers[3] = (ULONG)Freed;                                  /* 0 */
    KsFreeObjectBag(two);
    Numbers[4] = (ULONG)Freed;                                  /* 1: its last bag is gone */
    Numbers[5] = (ULONG)KsCopyObjectBagItems(NULL, one);        /* there is no such bag */
    Numbers[6] = KsRemoveItemFromObjectBag(one, b, FALSE);      /* 1, and it is the caller's again */
    Numbers[7] = KsRemoveItemFromObjectBag(one, b, TRUE);       /* 0 */
    ExFreePool(b);
    Numbers[8] = (ULONG)KsAddItemToObjectBag(one, c, CountFree);
    KsFreeObjectBag(one);
    Numbers[9] = (ULONG)Freed;                                  /* 2 */
    Numbers[10] = (ULONG)KsAddItemToObjectBag(NULL, &Numbers[0], NULL);
    Numbers[11] = (ULONG)KsAddItemToObjectBag(Filter->Bag, NULL, NULL);
    Numbers[12] = KsRemoveItemFromObjectBag(NULL, &Numbers[0], TRUE);
    Numbers[13] = (ULONG)KsCopyObjectBagItems(Filter->Bag, NULL);
    KsFreeObjectBag(NULL);
    return STATUS_SUCCESS;
}

static BOOLEAN AllZero(const UCHAR *Bytes, ULONG Count)
{
    while (Count--)
        if (*Bytes++)
            return FALSE;
    return TRUE;
}

/* What KsEdit of ks.h does: a constant becomes a copy that may be changed, in the bag of its object. */
NTSTATUS ProbeEdit(PKSFILTER Filter, PULONGLONG Numbers)
{
    static const CHAR text[] = "unchanged";
    PVOID item = (PVOID)text, first, zeros = NULL, bad = NULL;

    Numbers[0] = (ULONG)_KsEdit(Filter->Bag, &item, sizeof(text), sizeof(text), PROBE_TAG);
    if (!NT_SUCCESS((NTSTATUS)Numbers[0]))
        return (NTSTATUS)Numbers[0];
    Numbers[1] = item != text && RtlCompareMemory(item, text, sizeof(text)) == sizeof(text);
    first = item;
    Numbers[2] = (ULONG)_KsEdit(Filter->Bag, &item, 4, sizeof(text), PROBE_TAG);
    Numbers[3] = item == first;                                 /* it is in the bag already, and long enough */
    Numbers[4] = (ULONG)_KsEdit(Filter->Bag, &item, 2 * sizeof(text), sizeof(text), PROBE_TAG);
    Numbers[5] = RtlCompareMemory(item, text, sizeof(text)) == sizeof(text) &&
                 AllZero((const UCHAR *)item + sizeof(text), sizeof(text));
    Numbers[6] = KsRemoveItemFromObjectBag(Filter->Bag, item, TRUE);            /* 1 */
    Numbers[7] = (ULONG)_KsEdit(Filter->Bag, &zeros, 8, 0, PROBE_TAG);
    Numbers[8] = zeros && AllZero(zeros, 8);
    Numbers[9] = KsRemoveItemFromObjectBag(Filter->Bag, zeros, TRUE);
    Numbers[10] = (ULONG)_KsEdit(NULL, &bad, 8, 0, PROBE_TAG);
    return STATUS_SUCCESS;
}

/* ---- pins that are opened by name, as Windows does and Wine cannot -------------------- */

typedef struct PIN_NAME {
    WCHAR Name[sizeof(KSSTRING_Pin) / sizeof(WCHAR)];   /* its NUL is the backslash's place */
    UCHAR Parameters[sizeof(KSPIN_CONNECT) + 2 * sizeof(KSDATAFORMAT)];
} PIN_NAME;

typedef struct OPENED {
    FILE_OBJECT File;
    PIN_NAME Name;
} OPENED;

/* The name of the filter's first pin, in a format that it takes; the bytes may be made wrong afterwards. */
static void NamePin(PKSFILTER Filter, PFILE_OBJECT Related, OPENED *Opened, USHORT More)
{
    const KSPIN_DESCRIPTOR *pin = &Filter->Descriptor->PinDescriptors->PinDescriptor;
    PKSPIN_CONNECT connect = (PKSPIN_CONNECT)Opened->Name.Parameters;

    RtlZeroMemory(Opened, sizeof(*Opened));
    RtlCopyMemory(Opened->Name.Name, KSSTRING_Pin, sizeof(KSSTRING_Pin));
    Opened->Name.Name[sizeof(KSSTRING_Pin) / sizeof(WCHAR) - 1] = L'\\';
    connect->Interface = (KSPIN_INTERFACE){ { { { STATICGUIDOF(KSINTERFACESETID_Standard) }, KSINTERFACE_STANDARD_STREAMING, 0 } } };
    connect->Medium = (KSPIN_MEDIUM){ { { { STATICGUIDOF(KSMEDIUMSETID_Standard) }, KSMEDIUM_TYPE_ANYINSTANCE, 0 } } };
    connect->Priority.PriorityClass = KSPRIORITY_NORMAL;
    connect->Priority.PrioritySubClass = 1;
    RtlCopyMemory(connect + 1, pin->DataRanges[0], sizeof(KSDATAFORMAT));
    Opened->File.DeviceObject = Related->DeviceObject;
    Opened->File.RelatedFileObject = Related;
    Opened->File.FileName.Buffer = Opened->Name.Name;
    Opened->File.FileName.Length = (USHORT)(sizeof(KSSTRING_Pin) + sizeof(KSPIN_CONNECT) + sizeof(KSDATAFORMAT) + More);
    Opened->File.FileName.MaximumLength = Opened->File.FileName.Length;
}

static PKSDATAFORMAT FormatOf(OPENED *Opened)
{
    return (PKSDATAFORMAT)(Opened->Name.Parameters + sizeof(KSPIN_CONNECT));
}

static ULONG Create(PKSFILTER Filter, OPENED *Opened)
{
    return (ULONG)ProbeSend(KsGetDevice(Filter)->FunctionalDeviceObject, &Opened->File, IRP_MJ_CREATE, 0, NULL);
}

static ULONG Close(PKSFILTER Filter, OPENED *Opened)
{
    PDEVICE_OBJECT device = KsGetDevice(Filter)->FunctionalDeviceObject;

    return (ULONG)(ProbeSend(device, &Opened->File, IRP_MJ_CLEANUP, 0, NULL) |
                   ProbeSend(device, &Opened->File, IRP_MJ_CLOSE, 0, NULL));
}

/* Opens what must be refused, and closes it: its status. */
static ULONG Refused(PKSFILTER Filter, OPENED *Opened)
{
    ULONG status = Create(Filter, Opened);

    return Close(Filter, Opened) ? 0xFFFFFFFF : status;
}

static void LookAtPins(PKSFILTER Filter, OPENED *Opened, PULONGLONG Numbers)
{
    PKSPIN first = KsFilterGetFirstChildPin(Filter, 0), second = first ? KsPinGetNextSiblingPin(first) : NULL;
    PKSPIN source = first, delegate = first;
    KSHANDSHAKE in, out;

    Numbers[0] = KsFilterGetChildPinCount(Filter, 0);                           /* 2 */
    Numbers[1] = first == KsGetObjectFromFileObject(&Opened[0].File) &&
                 second == KsGetObjectFromFileObject(&Opened[1].File) && !KsPinGetNextSiblingPin(second);
    Numbers[2] = !KsFilterGetFirstChildPin(Filter, 1) && !KsFilterGetChildPinCount(Filter, 1);
    if (!first || !second)
        return;
    Numbers[3] = KsGetFirstChild(Filter) == first && KsGetNextSibling(first) == second && !KsGetNextSibling(second);
    Numbers[4] = KsPinGetParentFilter(first) == Filter && KsGetParent(second) == Filter;
    Numbers[5] = KsGetObjectTypeFromFileObject(&Opened[0].File);                /* KsObjectTypePin */
    Numbers[6] = !KsPinGetConnectedPinFileObject(first) && !KsPinGetConnectedPinDeviceObject(first);
    KsPinGetCopyRelationships(first, &source, &delegate);
    Numbers[7] = !source && !delegate;
    KsPinAcquireProcessingMutex(first);
    KsPinReleaseProcessingMutex(first);
    KsGateTurnInputOff(KsPinGetAndGate(first));
    Numbers[8] = KsGateGetStateUnsafe(KsPinGetAndGate(first)) | (ULONG)KsGateGetStateUnsafe(KsPinGetAndGate(second)) << 4;
    KsGateTurnInputOn(KsPinGetAndGate(first));
    Numbers[8] |= (ULONG)KsGateGetStateUnsafe(KsPinGetAndGate(first)) << 8;
    RtlZeroMemory(&in, sizeof(in));
    Numbers[9] = (ULONG)KsPinHandshake(first, NULL, &out);
    Numbers[10] = (ULONG)KsPinHandshake(first, &in, &out);                      /* connected to nothing */
}

/* Numbers: opens; what LookAtPins saw; closes. */
NTSTATUS ProbePins(PIRP Irp, PKSFILTER Filter, PULONGLONG Numbers)
{
    PFILE_OBJECT file = IoGetCurrentIrpStackLocation(Irp)->FileObject;
    OPENED *opened = ExAllocatePoolWithTag(NonPagedPool, 3 * sizeof(*opened), PROBE_TAG);
    ULONG index;

    if (!opened)
        return STATUS_INSUFFICIENT_RESOURCES;
    for (index = 0; index < 3; index++) {
        NamePin(Filter, file, &opened[index], 0);
        Numbers[index] = Create(Filter, &opened[index]);        /* the third is one too many */
    }
    LookAtPins(Filter, opened, &Numbers[3]);
    for (index = 0; index < 3; index++)
        Numbers[14 + index] = Close(Filter, &opened[index]);
    Numbers[17] = KsFilterGetChildPinCount(Filter, 0);
    Numbers[18] = KsGetObjectTypeFromIrp(Irp);                  /* KsObjectTypeFilter */
    Numbers[19] = (ULONG)KsGetObjectTypeFromFileObject(&opened[0].File);        /* closed: none */
    Numbers[20] = KsGetPinFromIrp(Irp) == NULL && KsGetNodeIdFromIrp(Irp) == KSFILTER_NODE;
    Numbers[21] = KsGetParent(KsGetParent(Filter)) == KsGetDevice(Filter) && !KsGetParent(KsGetDevice(Filter)) &&
                  KsGetDevice(Filter) == KsGetDeviceForDeviceObject(KsGetDevice(Filter)->FunctionalDeviceObject) &&
                  !KsGetDeviceForDeviceObject(KsGetDevice(Filter)->PhysicalDeviceObject);
    ExFreePoolWithTag(opened, PROBE_TAG);
    return STATUS_SUCCESS;
}

/* Pins whose creation and close are answered later. */
NTSTATUS ProbeLatePins(PIRP Irp, PKSFILTER Filter, PULONGLONG Numbers)
{
    PFILE_OBJECT file = IoGetCurrentIrpStackLocation(Irp)->FileObject;
    OPENED *opened = ExAllocatePoolWithTag(NonPagedPool, sizeof(*opened), PROBE_TAG);
    PDEVICE_OBJECT device = KsGetDevice(Filter)->FunctionalDeviceObject;

    if (!opened)
        return STATUS_INSUFFICIENT_RESOURCES;
    NamePin(Filter, file, opened, 0);
    ProbePendFrom(STATUS_SUCCESS);
    Numbers[0] = (ULONG)ProbeSendLate(device, &opened->File, IRP_MJ_CREATE, ProbeFinish);
    Numbers[1] = KsFilterGetChildPinCount(Filter, 0);
    Numbers[2] = (ULONG)ProbeSendLate(device, &opened->File, IRP_MJ_CLOSE, ProbeFinish);
    Numbers[3] = KsFilterGetChildPinCount(Filter, 0);
    ProbePendFrom(STATUS_INVALID_PARAMETER);
    NamePin(Filter, file, opened, 0);
    Numbers[4] = (ULONG)ProbeSendLate(device, &opened->File, IRP_MJ_CREATE, ProbeFinish);
    Numbers[5] = KsFilterGetChildPinCount(Filter, 0);
    ProbePendNoMore();
    Numbers[6] = Close(Filter, opened);
    ExFreePoolWithTag(opened, PROBE_TAG);
    return STATUS_SUCCESS;
}

/* Names and formats that are wrong, each in one way. */
NTSTATUS ProbeNames(PIRP Irp, PKSFILTER Filter, PULONGLONG Numbers)
{
    PFILE_OBJECT file = IoGetCurrentIrpStackLocation(Irp)->FileObject;
    OPENED *opened = ExAllocatePoolWithTag(NonPagedPool, 2 * sizeof(*opened), PROBE_TAG);
    PKSMULTIPLE_ITEM list;

    if (!opened)
        return STATUS_INSUFFICIENT_RESOURCES;
    NamePin(Filter, file, opened, 0);                           /* no backslash after the GUID */
    opened->Name.Name[sizeof(KSSTRING_Pin) / sizeof(WCHAR) - 1] = L'!';
    Numbers[0] = Refused(Filter, opened);
    NamePin(Filter, file, opened, 0);                           /* of another device */
    opened->File.DeviceObject = KsGetDevice(Filter)->PhysicalDeviceObject == file->DeviceObject
                                    ? KsGetDevice(Filter)->FunctionalDeviceObject
                                    : KsGetDevice(Filter)->PhysicalDeviceObject;
    Numbers[1] = Refused(Filter, opened);
    RtlZeroMemory(&opened[1].File, sizeof(opened[1].File));     /* of a filter that is closed */
    opened[1].File.DeviceObject = file->DeviceObject;
    NamePin(Filter, &opened[1].File, opened, 0);
    Numbers[2] = Refused(Filter, opened);
    NamePin(Filter, file, &opened[1], 0);                       /* of a pin */
    Numbers[3] = Create(Filter, &opened[1]);
    NamePin(Filter, &opened[1].File, opened, 0);
    Numbers[4] = Refused(Filter, opened);
    Numbers[5] = Close(Filter, &opened[1]);
    NamePin(Filter, file, opened, 0);                           /* bytes are missing */
    opened->File.FileName.Length -= 8;
    Numbers[6] = Refused(Filter, opened);
    NamePin(Filter, file, opened, 0);
    FormatOf(opened)->FormatSize = sizeof(KSDATAFORMAT) + 8;
    Numbers[7] = Refused(Filter, opened);
    NamePin(Filter, file, opened, 0);                           /* attributes that are not there */
    FormatOf(opened)->Flags = KSDATAFORMAT_ATTRIBUTES;
    Numbers[8] = Refused(Filter, opened);
    NamePin(Filter, file, opened, sizeof(*list));               /* ... and that are */
    FormatOf(opened)->Flags = KSDATAFORMAT_ATTRIBUTES;
    list = (PKSMULTIPLE_ITEM)(FormatOf(opened) + 1);
    list->Size = sizeof(*list);
    Numbers[9] = Create(Filter, opened);
    Numbers[10] = NT_SUCCESS((NTSTATUS)Numbers[9]) &&
                  ((PKSPIN)KsGetObjectFromFileObject(&opened->File))->AttributeList->Size == sizeof(*list);
    Numbers[11] = Close(Filter, opened);
    NamePin(Filter, file, opened, 0);                           /* nobody's medium, pin and format */
    ((PKSPIN_CONNECT)opened->Name.Parameters)->Medium.Id = 77;
    Numbers[12] = Refused(Filter, opened);
    NamePin(Filter, file, opened, 0);
    ((PKSPIN_CONNECT)opened->Name.Parameters)->PinId = 77;
    Numbers[13] = Refused(Filter, opened);
    NamePin(Filter, file, opened, 0);
    FormatOf(opened)->SubFormat.Data1++;
    Numbers[14] = Refused(Filter, opened);
    NamePin(Filter, file, opened, 0);                           /* a sink that is to send */
    ((PKSPIN_CONNECT)opened->Name.Parameters)->PinToHandle = (HANDLE)(ULONG_PTR)8;
    Numbers[15] = Refused(Filter, opened);
    ExFreePoolWithTag(opened, PROBE_TAG);
    return STATUS_SUCCESS;
}

/* ---- factories ------------------------------------------------------------------------ */

static const KSFILTER_DESCRIPTOR ExtraFilter = {
    .Version = KSFILTER_DESCRIPTOR_VERSION, .CategoriesCount = SIZEOF_ARRAY(ExtraCategories),
    .Categories = ExtraCategories,
};
static const KSFILTER_DESCRIPTOR PlainFilter = { .Version = KSFILTER_DESCRIPTOR_VERSION };

static NTSTATUS MakeFactory(PKSDEVICE Device, const KSFILTER_DESCRIPTOR *Descriptor, PWSTR Name, PKSFILTERFACTORY *Made)
{
    NTSTATUS status;

    KsAcquireDevice(Device);
    status = KsCreateFilterFactory(Device->FunctionalDeviceObject, Descriptor, Name, NULL, 0, NULL, NULL, Made);
    KsReleaseDevice(Device);
    return status;
}

static ULONG DeleteFactory(PKSDEVICE Device, PKSFILTERFACTORY Factory)
{
    NTSTATUS status;

    KsAcquireDevice(Device);
    /* What KsDeleteFilterFactory of ks.h is, without a look into a factory that may be gone. */
    status = KsFreeObjectCreateItemsByContext(*(KSDEVICE_HEADER *)Device->FunctionalDeviceObject->DeviceExtension, Factory);
    KsReleaseDevice(Device);
    return (ULONG)status;
}

static ULONG OpenByName(PKSFILTER Filter, PCWSTR Name)
{
    ULONGLONG seen[4];
    NTSTATUS status = ProbeOpen(Filter, Name, (ULONG)(wcslen(Name) * sizeof(WCHAR)), seen);

    return NT_SUCCESS(status) ? (ULONG)(seen[0] | seen[2] | seen[3]) : (ULONG)status;
}

NTSTATUS ProbeFactories(PKSFILTER Filter, PULONGLONG Numbers)
{
    PKSDEVICE device = KsGetDevice(Filter);
    PKSFILTERFACTORY extra = NULL, plain = NULL;
    PUNICODE_STRING link;

    Numbers[0] = (ULONG)MakeFactory(device, &ExtraFilter, L"extra", &extra);
    Numbers[1] = (ULONG)MakeFactory(device, &PlainFilter, NULL, &plain);
    if (!extra || !plain)
        return STATUS_INSUFFICIENT_RESOURCES;
    Numbers[2] = OpenByName(Filter, L"\\extra");
    Numbers[3] = OpenByName(Filter, L"\\global");               /* who has no name of its own is called so */
    Numbers[4] = (ULONG)KsFilterFactoryAddCreateItem(extra, NULL, NULL, 0);
    Numbers[5] = (ULONG)KsFilterFactoryUpdateCacheData(extra, NULL);
    Numbers[6] = (ULONG)KsFilterFactorySetDeviceClassesState(extra, TRUE);
    Numbers[7] = (ULONG)KsFilterFactorySetDeviceClassesState(extra, TRUE);      /* it is already */
    link = KsFilterFactoryGetSymbolicLink(extra);
    Numbers[8] = link && link->Length && !KsFilterFactoryGetSymbolicLink(plain);
    /* Without its reference string it would be the name of the device's first factory. */
    Numbers[14] = link && link->Length > 6 * sizeof(WCHAR) &&
                  !_wcsnicmp(link->Buffer + link->Length / sizeof(WCHAR) - 6, L"\\extra", 6);
    Numbers[9] = (ULONG)KsFilterFactorySetDeviceClassesState(extra, FALSE);
    Numbers[10] = DeleteFactory(device, extra) | DeleteFactory(device, plain);
    Numbers[11] = DeleteFactory(device, extra);                 /* nobody's */
    Numbers[12] = OpenByName(Filter, L"\\extra");
    Numbers[13] = (ULONG)KsCreateFilterFactory(device->PhysicalDeviceObject, &PlainFilter, L"none", NULL, 0, NULL, NULL,
                                               &plain);         /* not a device of the class driver's */
    return STATUS_SUCCESS;
}

/* ---- calls that are wrong, and controls that are sent on ---------------------------------- */

NTSTATUS ProbeArguments(PIRP Irp, PKSFILTER Filter, PULONGLONG Numbers)
{
    PFILE_OBJECT file = IoGetCurrentIrpStackLocation(Irp)->FileObject;
    static const KSTOPOLOGY_CONNECTION connection = { KSFILTER_NODE, 0, 0, 0 };
    ULONG id, returned = 99, held[HELD_BYTES / sizeof(ULONG)] = { 0 };
    FILE_OBJECT nowhere;

    RtlZeroMemory(&nowhere, sizeof(nowhere));
    KsAcquireControl(Filter);
    Numbers[0] = (ULONG)KsFilterCreatePinFactory(Filter, NULL, &id);
    Numbers[1] = (ULONG)KsFilterCreateNode(Filter, NULL, &id);
    Numbers[2] = (ULONG)KsFilterAddTopologyConnections(Filter, 0, NULL);        /* nothing to do */
    Numbers[3] = (ULONG)KsFilterAddTopologyConnections(Filter, 1, NULL);
    Numbers[4] = (ULONG)KsFilterAddTopologyConnections(Filter, 0x10000000, &connection);        /* too many */
    KsReleaseControl(Filter);
    KsFilterAcquireProcessingMutex(Filter);
    KsFilterReleaseProcessingMutex(Filter);
    Numbers[5] = KsGateGetStateUnsafe(KsFilterGetAndGate(Filter));
    Numbers[6] = (ULONG)KsSynchronousIoControlDevice(&nowhere, KernelMode, IOCTL_KS_HANDSHAKE, NULL, 0, NULL, 0, &returned);
    Numbers[7] = (ULONG)KsSynchronousIoControlDevice(file, KernelMode, IOCTL_DIRECT, NULL, 0, NULL, 0, &returned);
    Numbers[8] = (ULONG)KsSynchronousIoControlDevice(file, KernelMode, IOCTL_HELD, NULL, 0, held, sizeof(held), &returned);
    Numbers[9] = returned;
    Numbers[10] = held[0] > 0 && held[1] > 0;                   /* this very request is inside */
    Numbers[11] = (ULONG)KsSynchronousIoControlDevice(file, KernelMode, IOCTL_HELD, &id, sizeof(id), NULL, 0, &returned);
    Numbers[12] = (ULONG)KsSynchronousIoControlDevice(file, KernelMode, IOCTL_HELD, NULL, 0, NULL, 0, &returned);
    Numbers[13] = returned;
    Numbers[14] = (ULONG)KsSynchronousIoControlDevice(file, UserMode, IOCTL_HELD, NULL, 0, held, sizeof(held), &returned);
    Numbers[15] = (ULONG)KsSynchronousIoControlDevice(file, KernelMode, IOCTL_KS_RESET_STATE, NULL, 0, NULL, 0, &returned);
    return STATUS_SUCCESS;
}

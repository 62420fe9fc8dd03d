/* SPDX-License-Identifier: Apache-2.0
 *
 * filter.c - filters: one per open of a filter's name.
 */
#include "refks.h"

static const KSFILTER_DISPATCH *FilterDispatch(const REFKS_FILTER *Filter)
{
    return Filter->Public.Descriptor->Dispatch;
}

const KSPIN_DESCRIPTOR_EX *RefksPinDescriptorIn(const KSFILTER_DESCRIPTOR *Descriptor, ULONG PinId)
{
    if (PinId >= Descriptor->PinDescriptorsCount)
        return NULL;
    return (const KSPIN_DESCRIPTOR_EX *)((const UCHAR *)Descriptor->PinDescriptors +
                                         (SIZE_T)PinId * Descriptor->PinDescriptorSize);
}

const KSPIN_DESCRIPTOR_EX *RefksPinDescriptor(const REFKS_FILTER *Filter, ULONG PinId)
{
    return RefksPinDescriptorIn(RefksFilterDescriptor(Filter), PinId);
}

ULONG RefksPinCount(REFKS_FILTER *Filter, ULONG PinId)
{
    PLIST_ENTRY entry;
    ULONG count = 0;

    for (entry = Filter->Header.Children.Flink; entry != &Filter->Header.Children; entry = entry->Flink) {
        if (CONTAINING_RECORD(entry, REFKS_PIN, Header.Sibling)->Public.Id == PinId)
            count++;
    }
    return count;
}

/* Who asks may have a filter of the factory.  Device mutex held. */
static NTSTATUS Judge(const REFKS_FACTORY *Factory, const IRP *Irp)
{
    if (!Factory)
        return STATUS_OBJECT_NAME_NOT_FOUND;
    if ((Factory->Public.FilterDescriptor->Flags & KSFILTER_FLAG_DENY_USERMODE_ACCESS) &&
        Irp->RequestorMode != KernelMode)
        return STATUS_INVALID_DEVICE_REQUEST;
    return STATUS_SUCCESS;
}

static void Initialize(REFKS_FILTER *Filter, REFKS_DEVICE *Device, REFKS_FACTORY *Factory)
{
    RefksInitializeHeader(&Filter->Header, KsObjectTypeFilter, Device, &Factory->Header);
    (void)RefksEnter(&Filter->Header);          /* the creation is inside until it ends */
    ExInitializeFastMutex(&Filter->Control);
    ExInitializeFastMutex(&Filter->Processing);
    KsGateInitializeAnd(&Filter->Gate, NULL);
    Filter->Public.Descriptor = Factory->Public.FilterDescriptor;
    Filter->Public.Bag = &Filter->Header.Bag;
    Filter->Public.Context = Factory->Public.Context;
}

/* Device mutex held. */
static NTSTATUS BuildFilter(REFKS_FILTER *Filter, PIRP Irp, BOOLEAN OnLoan)
{
    NTSTATUS status = STATUS_SUCCESS;

    if (!RefksBindFileObject(&Filter->Header, IoGetCurrentIrpStackLocation(Irp)->FileObject, OnLoan))
        return STATUS_DEVICE_BUSY;              /* it has pins, or another request is under way */
    RefksLinkOpen(&Filter->Header);
    if (FilterDispatch(Filter) && FilterDispatch(Filter)->Create) {
        RefksLockMutex(&Filter->Control);
        RefksReference(&Filter->Header);
        status = FilterDispatch(Filter)->Create(&Filter->Public, Irp);
        RefksUnlockMutex(&Filter->Control);
        RefksDereference(&Filter->Header);
    }
    return status;
}

/* The device is entered by the caller, and so is the lender, which this leaves. */
static NTSTATUS CreateFilter(REFKS_DEVICE *Device, PIRP Irp, const WCHAR *Name, ULONG Characters, BOOLEAN OnLoan,
                             REFKS_HEADER *Lender)
{
    REFKS_FILTER *filter = RefksAllocate(sizeof(*filter));
    BOOLEAN is_already = FALSE;
    REFKS_FACTORY *factory;
    NTSTATUS status;

    RefksLockMutex(&Device->Mutex);
    factory = RefksFindFactory(Device, Name, Characters);
    status = Judge(factory, Irp);
    if (NT_SUCCESS(status) && Lender)
        is_already = (BOOLEAN)(Lender->Parent == &factory->Header);
    if (NT_SUCCESS(status) && !filter)
        status = STATUS_INSUFFICIENT_RESOURCES;
    if (NT_SUCCESS(status) && !is_already && !RefksEnter(&Device->Header))
        status = STATUS_DEVICE_REMOVED;         /* the filter's own stay, until it is closed */
    if (!NT_SUCCESS(status) || is_already) {
        RefksUnlockMutex(&Device->Mutex);
        RefksFree(filter);
        if (Lender)
            RefksLeave(Lender);
        return kshs_complete(Irp, status, 0);
    }

    Initialize(filter, Device, factory);
    filter->Header.Lender = Lender;
    if (Lender)
        RefksReference(Lender);
    status = BuildFilter(filter, Irp, OnLoan);
    RefksUnlockMutex(&Device->Mutex);
    if (status == STATUS_PENDING)
        return status;
    return RefksEndCreate(&filter->Header, Irp, status);
}

NTSTATUS RefksCreateFilter(REFKS_DEVICE *Device, PIRP Irp, const WCHAR *Name, ULONG Characters)
{
    return CreateFilter(Device, Irp, Name, Characters, FALSE, NULL);
}

NTSTATUS RefksTurnFilter(REFKS_DEVICE *Device, PIRP Irp, const WCHAR *Name, ULONG Characters, REFKS_HEADER *Lender)
{
    return CreateFilter(Device, Irp, Name, Characters, TRUE, Lender);
}

NTSTATUS RefksFinishFilter(REFKS_FILTER *Filter)
{
    NTSTATUS status = STATUS_SUCCESS;

    if (Filter->Header.Created && FilterDispatch(Filter) && FilterDispatch(Filter)->Close) {
        PIRP irp = RefksCloseIrp(&Filter->Header);
        REFKS_DEVICE *device = Filter->Header.Device;

        RefksReference(&device->Header);        /* both may go before their mutexes, if the close is pending */
        RefksReference(&Filter->Header);
        RefksLockMutex(&device->Mutex);
        RefksLockMutex(&Filter->Control);
        if (irp)
            status = FilterDispatch(Filter)->Close(&Filter->Public, irp);
        RefksUnlockMutex(&Filter->Control);
        RefksUnlockMutex(&device->Mutex);
        RefksDereference(&Filter->Header);
        RefksDereference(&device->Header);
        if (status == STATUS_PENDING)
            return status;
    }
    RefksFilterClosed(Filter);
    return STATUS_SUCCESS;
}

void RefksFilterClosed(REFKS_FILTER *Filter)
{
    REFKS_DEVICE *device = Filter->Header.Device;
    REFKS_HEADER *lender = Filter->Header.Lender;       /* of one that never came to be */
    BOOLEAN loaned;

    RefksReference(&device->Header);
    RefksLockMutex(&device->Mutex);
    RefksUnlinkOpen(&Filter->Header);
    RefksUnlockMutex(&device->Mutex);
    RefksUnbindFileObject(&Filter->Header);
    loaned = Filter->Header.OnLoan;
    RefksEmptyBag(&Filter->Header.Bag);
    RefksEndClose(&Filter->Header);
    RefksDereference(&Filter->Header);
    if (lender) {
        if (loaned)
            (void)RefksCloseUnlocked(lender);           /* its handle is gone; we are still inside */
        RefksLeave(lender);
        RefksDereference(lender);
    }
    RefksLeave(&device->Header);
    RefksDereference(&device->Header);
}

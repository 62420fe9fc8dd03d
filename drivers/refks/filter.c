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

/* The device is entered by the caller. */
NTSTATUS RefksCreateFilter(REFKS_DEVICE *Device, PIRP Irp, const WCHAR *Name, ULONG Characters)
{
    PFILE_OBJECT file = IoGetCurrentIrpStackLocation(Irp)->FileObject;
    NTSTATUS status = STATUS_SUCCESS;
    REFKS_FILTER *filter;
    REFKS_FACTORY *factory;

    filter = RefksAllocate(sizeof(*filter));
    if (!filter)
        return kshs_complete(Irp, STATUS_INSUFFICIENT_RESOURCES, 0);

    RefksLockMutex(&Device->Mutex);
    factory = RefksFindFactory(Device, Name, Characters);
    if (!factory)
        status = STATUS_OBJECT_NAME_NOT_FOUND;
    else if ((factory->Public.FilterDescriptor->Flags & KSFILTER_FLAG_DENY_USERMODE_ACCESS) &&
             Irp->RequestorMode != KernelMode)
        status = STATUS_INVALID_DEVICE_REQUEST;
    else if (!RefksEnter(&Device->Header))      /* the filter's own stay, until it is closed */
        status = STATUS_DEVICE_REMOVED;
    if (!NT_SUCCESS(status)) {
        RefksUnlockMutex(&Device->Mutex);
        RefksFree(filter);
        return kshs_complete(Irp, status, 0);
    }

    RefksInitializeHeader(&filter->Header, KsObjectTypeFilter, Device, &factory->Header);
    (void)RefksEnter(&filter->Header);          /* the creation is inside until it ends */
    ExInitializeFastMutex(&filter->Control);
    ExInitializeFastMutex(&filter->Processing);
    KsGateInitializeAnd(&filter->Gate, NULL);
    filter->Public.Descriptor = factory->Public.FilterDescriptor;
    filter->Public.Bag = &filter->Header.Bag;
    filter->Public.Context = factory->Public.Context;
    (void)RefksBindFileObject(&filter->Header, file, FALSE);
    RefksLinkOpen(&filter->Header);

    if (FilterDispatch(filter) && FilterDispatch(filter)->Create) {
        RefksLockMutex(&filter->Control);
        RefksReference(&filter->Header);
        status = FilterDispatch(filter)->Create(&filter->Public, Irp);
        RefksUnlockMutex(&filter->Control);
        RefksDereference(&filter->Header);
    }
    RefksUnlockMutex(&Device->Mutex);
    if (status == STATUS_PENDING)
        return status;
    return RefksEndCreate(&filter->Header, Irp, status);
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

    RefksReference(&device->Header);
    RefksLockMutex(&device->Mutex);
    RefksUnlinkOpen(&Filter->Header);
    RefksUnlockMutex(&device->Mutex);
    RefksUnbindFileObject(&Filter->Header);
    RefksEmptyBag(&Filter->Header.Bag);
    RefksEndClose(&Filter->Header);
    RefksDereference(&Filter->Header);
    RefksLeave(&device->Header);
    RefksDereference(&device->Header);
}

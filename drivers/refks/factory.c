/* SPDX-License-Identifier: Apache-2.0
 *
 * factory.c - filter factories: one per filter descriptor, each with the
 * reference string under which its filters are opened and the device
 * interfaces that carry it.
 */
#include "refks.h"

#define DEFAULT_REFERENCE L"GLOBAL"     /* of a factory whose descriptor has no ReferenceGuid */

/* A name under which a factory is found besides its reference string. */
typedef struct REFKS_CREATE_ITEM {
    struct REFKS_CREATE_ITEM *Next;
    ULONG Flags;
    UNICODE_STRING Name;        /* the characters follow */
} REFKS_CREATE_ITEM;

static NTSTATUS SetReference(REFKS_FACTORY *Factory, const WCHAR *Text, ULONG Bytes)
{
    PWSTR copy = RefksAllocate(Bytes + sizeof(WCHAR));

    if (!copy)
        return STATUS_INSUFFICIENT_RESOURCES;
    RtlCopyMemory(copy, Text, Bytes);
    Factory->Reference.Buffer = copy;
    Factory->Reference.Length = (USHORT)Bytes;
    Factory->Reference.MaximumLength = (USHORT)(Bytes + sizeof(WCHAR));
    return STATUS_SUCCESS;
}

static NTSTATUS ChooseReference(REFKS_FACTORY *Factory, const WCHAR *Given)
{
    const GUID *guid = Factory->Public.FilterDescriptor->ReferenceGuid;
    UNICODE_STRING text;
    NTSTATUS status;

    if (Given) {
        RtlInitUnicodeString(&text, Given);
        return SetReference(Factory, text.Buffer, text.Length);
    }
    if (!guid)
        return SetReference(Factory, DEFAULT_REFERENCE, sizeof(DEFAULT_REFERENCE) - sizeof(WCHAR));
    status = RtlStringFromGUID((GUID *)guid, &text);
    if (!NT_SUCCESS(status))
        return status;
    status = SetReference(Factory, text.Buffer, text.Length);
    RtlFreeUnicodeString(&text);
    return status;
}

/* The factory's memory is the device's until RefksDeleteFactories. */
static NTSTATUS CreateFactory(REFKS_DEVICE *Device, const KSFILTER_DESCRIPTOR *Descriptor, const WCHAR *Reference,
                              REFKS_FACTORY **Created)
{
    REFKS_FACTORY *factory = RefksAllocate(sizeof(*factory));
    NTSTATUS status;

    if (!factory)
        return STATUS_INSUFFICIENT_RESOURCES;
    RefksInitializeHeader(&factory->Header, KsObjectTypeFilterFactory, Device, &Device->Header);
    factory->Public.FilterDescriptor = Descriptor;
    factory->Public.Bag = &factory->Header.Bag;
    factory->Public.Context = Device->Public.Context;
    status = ChooseReference(factory, Reference);
    if (!NT_SUCCESS(status)) {
        RefksDereference(&factory->Header);
        return status;
    }
    RefksLockMutex(&Device->FactoriesLock);
    InsertTailList(&Device->Header.Children, &factory->Header.Sibling);
    factory->Header.Linked = TRUE;
    RefksUnlockMutex(&Device->FactoriesLock);
    *Created = factory;
    return STATUS_SUCCESS;
}

NTSTATUS RefksCreateFactories(REFKS_DEVICE *Device)
{
    const KSDEVICE_DESCRIPTOR *descriptor = Device->Public.Descriptor;
    NTSTATUS status = STATUS_SUCCESS;
    REFKS_FACTORY *factory;
    ULONG index;

    for (index = 0; descriptor && index < descriptor->FilterDescriptorsCount && NT_SUCCESS(status); index++)
        status = CreateFactory(Device, descriptor->FilterDescriptors[index], NULL, &factory);
    return status;
}

static void FreeLink(PUNICODE_STRING Link)
{
    if (Link->Buffer)
        RtlFreeUnicodeString(Link);
    RtlZeroMemory(Link, sizeof(*Link));
}

void RefksDeleteFactory(REFKS_FACTORY *Factory)
{
    ULONG index;

    RefksLockMutex(&Factory->Header.Device->FactoriesLock);
    RemoveEntryList(&Factory->Header.Sibling);
    Factory->Header.Linked = FALSE;
    RefksUnlockMutex(&Factory->Header.Device->FactoriesLock);
    for (index = 0; index < Factory->LinkCount; index++)
        FreeLink(&Factory->Links[index]);
    Factory->LinkCount = 0;
    RefksEmptyBag(&Factory->Header.Bag);
    while (Factory->CreateItems) {
        REFKS_CREATE_ITEM *item = Factory->CreateItems;

        Factory->CreateItems = item->Next;
        RefksFree(item);
    }
    RefksFree(Factory->Reference.Buffer);
    Factory->Reference.Buffer = NULL;
    Factory->Reference.Length = 0;
    RefksDereference(&Factory->Header);
}

void RefksDeleteFactories(REFKS_DEVICE *Device)
{
    while (!IsListEmpty(&Device->Header.Children))
        RefksDeleteFactory(CONTAINING_RECORD(Device->Header.Children.Flink, REFKS_FACTORY, Header.Sibling));
    RefksForgetCategories(Device);
}

static NTSTATUS RegisterFactory(REFKS_FACTORY *Factory)
{
    const KSFILTER_DESCRIPTOR *descriptor = Factory->Public.FilterDescriptor;
    PDEVICE_OBJECT physical = Factory->Header.Device->Public.PhysicalDeviceObject;

    if (!physical)
        return STATUS_SUCCESS;
    while (Factory->LinkCount < descriptor->CategoriesCount && Factory->LinkCount < REFKS_MAX_LINKS) {
        NTSTATUS status = IoRegisterDeviceInterface(physical, &descriptor->Categories[Factory->LinkCount],
                                                    &Factory->Reference, &Factory->Links[Factory->LinkCount]);

        if (!NT_SUCCESS(status))
            return status;
        Factory->LinkCount++;
    }
    return STATUS_SUCCESS;
}

NTSTATUS RefksRegisterFactories(REFKS_DEVICE *Device)
{
    NTSTATUS status = STATUS_SUCCESS;
    PLIST_ENTRY entry;

    RefksLockMutex(&Device->Mutex);
    for (entry = Device->Header.Children.Flink; entry != &Device->Header.Children && NT_SUCCESS(status);
         entry = entry->Flink)
        status = RegisterFactory(CONTAINING_RECORD(entry, REFKS_FACTORY, Header.Sibling));
    RefksUnlockMutex(&Device->Mutex);
    return status;
}

/* The one that an open without a name finds. */
BOOLEAN RefksIsFirst(const REFKS_FACTORY *Factory)
{
    return Factory->Header.Device->Header.Children.Flink == &Factory->Header.Sibling;
}

/* The name by which the first factory's filters can be opened is the one that its driver is told. */
static void TakePlainLinks(REFKS_FACTORY *Factory)
{
    UNICODE_STRING plain;
    ULONG index;

    for (index = 0; index < Factory->LinkCount; index++) {
        if (!RefksPlainLink(Factory->Header.Device, &Factory->Public.FilterDescriptor->Categories[index], &plain))
            continue;
        FreeLink(&Factory->Links[index]);
        Factory->Links[index] = plain;
    }
}

static NTSTATUS EnableFactory(REFKS_FACTORY *Factory, BOOLEAN Enable)
{
    NTSTATUS status = STATUS_SUCCESS;
    ULONG index;

    if (Factory->Enabled == Enable)
        return STATUS_SUCCESS;
    Factory->Enabled = Enable;
    if (kshs_is_wine()) {
        status = RefksUpdateCategories(Factory->Header.Device);
        if (Enable && RefksIsFirst(Factory))
            TakePlainLinks(Factory);
        return status;
    }
    for (index = 0; index < Factory->LinkCount; index++) {
        NTSTATUS one = IoSetDeviceInterfaceState(&Factory->Links[index], Enable);

        if (!NT_SUCCESS(one) && one != STATUS_OBJECT_NAME_EXISTS)
            status = one;
    }
    return status;
}

void RefksEnableFactories(REFKS_DEVICE *Device, BOOLEAN Enable)
{
    PLIST_ENTRY entry;

    RefksLockMutex(&Device->Mutex);
    for (entry = Device->Header.Children.Flink; entry != &Device->Header.Children; entry = entry->Flink)
        (void)EnableFactory(CONTAINING_RECORD(entry, REFKS_FACTORY, Header.Sibling), Enable);
    RefksUnlockMutex(&Device->Mutex);
}

/* ---- by name -------------------------------------------------------------------------- */

static BOOLEAN HasName(const REFKS_FACTORY *Factory, const UNICODE_STRING *Name)
{
    const REFKS_CREATE_ITEM *item;

    if (RtlEqualUnicodeString(Name, &Factory->Reference, TRUE))
        return TRUE;
    for (item = Factory->CreateItems; item; item = item->Next) {
        if (RtlEqualUnicodeString(Name, &item->Name, TRUE))
            return TRUE;
    }
    return FALSE;
}

static BOOLEAN TakesAnyName(const REFKS_FACTORY *Factory)
{
    const REFKS_CREATE_ITEM *item;

    for (item = Factory->CreateItems; item; item = item->Next) {
        if (item->Flags & KSCREATE_ITEM_WILDCARD)
            return TRUE;
    }
    return FALSE;
}

/* No name finds the first factory.  One that is nobody's finds the first factory with a wildcard. */
REFKS_FACTORY *RefksFindFactory(REFKS_DEVICE *Device, const WCHAR *Name, ULONG Characters)
{
    REFKS_FACTORY *any = NULL;
    UNICODE_STRING wanted;
    PLIST_ENTRY entry;

    wanted.Buffer = (PWSTR)Name;
    wanted.Length = wanted.MaximumLength = (USHORT)(Characters * sizeof(WCHAR));
    for (entry = Device->Header.Children.Flink; entry != &Device->Header.Children; entry = entry->Flink) {
        REFKS_FACTORY *factory = CONTAINING_RECORD(entry, REFKS_FACTORY, Header.Sibling);

        if (!Characters || HasName(factory, &wanted))
            return factory;
        if (!any && TakesAnyName(factory))
            any = factory;
    }
    return any;
}

/* The documentation does not say whether the caller holds the device mutex: the list is one that needs no lock.
 * Nobody opens a stopped device, so items with KSCREATE_ITEM_FREEONSTOP stay: a driver that adds one again when it
 * is started the next time finds it there. */
NTSTATUS NTAPI KsFilterFactoryAddCreateItem(PKSFILTERFACTORY FilterFactory, PWSTR RefString,
                                            PSECURITY_DESCRIPTOR SecurityDescriptor, ULONG CreateItemFlags)
{
    REFKS_FACTORY *factory = CONTAINING_RECORD(FilterFactory, REFKS_FACTORY, Public);
    REFKS_CREATE_ITEM *item, *first;
    UNICODE_STRING name;

    UNREFERENCED_PARAMETER(SecurityDescriptor);
    if (!RefString)
        return STATUS_INVALID_PARAMETER;
    RtlInitUnicodeString(&name, RefString);
    if (HasName(factory, &name))
        return CreateItemFlags & KSCREATE_ITEM_FREEONSTOP ? STATUS_SUCCESS : STATUS_OBJECT_NAME_COLLISION;
    item = RefksAllocate(sizeof(*item) + name.Length);
    if (!item)
        return STATUS_INSUFFICIENT_RESOURCES;
    item->Flags = CreateItemFlags;
    item->Name.Buffer = (PWSTR)(item + 1);
    item->Name.Length = item->Name.MaximumLength = name.Length;
    RtlCopyMemory(item->Name.Buffer, name.Buffer, name.Length);
    do {
        first = factory->CreateItems;
        item->Next = first;
    } while (InterlockedCompareExchangePointer((PVOID volatile *)&factory->CreateItems, item, first) != first);
    return STATUS_SUCCESS;
}

/* ---- made at run time -------------------------------------------------------------------- */

/* Device mutex held by the caller, as documented. */
NTSTATUS NTAPI KsCreateFilterFactory(PDEVICE_OBJECT DeviceObject, const KSFILTER_DESCRIPTOR *Descriptor,
                                     PWSTR RefString, PSECURITY_DESCRIPTOR SecurityDescriptor, ULONG CreateItemFlags,
                                     PFNKSFILTERFACTORYPOWER SleepCallback, PFNKSFILTERFACTORYPOWER WakeCallback,
                                     PKSFILTERFACTORY *FilterFactory)
{
    REFKS_DEVICE *device = RefksDeviceFromDeviceObject(DeviceObject);
    REFKS_FACTORY *factory = NULL;
    NTSTATUS status;

    UNREFERENCED_PARAMETER(SecurityDescriptor);
    UNREFERENCED_PARAMETER(CreateItemFlags);
    UNREFERENCED_PARAMETER(SleepCallback);
    UNREFERENCED_PARAMETER(WakeCallback);
    if (!device)
        return STATUS_NO_SUCH_DEVICE;
    status = CreateFactory(device, Descriptor, RefString, &factory);
    /* Its link can be asked for at once, also by a driver that is just being started. */
    if (NT_SUCCESS(status))
        status = RegisterFactory(factory);
    if (NT_SUCCESS(status) && FilterFactory)
        *FilterFactory = &factory->Public;
    RefksDereference(&device->Header);
    return status;
}

/* What KsDeleteFilterFactory of ks.h calls: the context is the factory.  Device mutex held, as documented.
 * Filters that are still open keep its memory; nobody opens new ones. */
NTSTATUS NTAPI KsFreeObjectCreateItemsByContext(KSDEVICE_HEADER Header, PVOID Context)
{
    REFKS_DEVICE *device = Header;
    PLIST_ENTRY entry;

    for (entry = device->Header.Children.Flink; entry != &device->Header.Children; entry = entry->Flink) {
        REFKS_FACTORY *factory = CONTAINING_RECORD(entry, REFKS_FACTORY, Header.Sibling);

        if (&factory->Public != Context)
            continue;
        (void)EnableFactory(factory, FALSE);
        RefksDeleteFactory(factory);
        if (kshs_is_wine())
            (void)RefksUpdateCategories(device);        /* another one may be the first now */
        return STATUS_SUCCESS;
    }
    return STATUS_OBJECT_NAME_NOT_FOUND;
}

/* What user mode would choose a filter by is cached in the registry on Windows.  Nobody reads that here. */
NTSTATUS NTAPI KsFilterFactoryUpdateCacheData(PKSFILTERFACTORY FilterFactory,
                                              const KSFILTER_DESCRIPTOR *FilterDescriptor)
{
    UNREFERENCED_PARAMETER(FilterFactory);
    UNREFERENCED_PARAMETER(FilterDescriptor);
    return STATUS_SUCCESS;
}

NTSTATUS NTAPI KsFilterFactorySetDeviceClassesState(PKSFILTERFACTORY FilterFactory, BOOLEAN NewState)
{
    return EnableFactory(CONTAINING_RECORD(FilterFactory, REFKS_FACTORY, Public), NewState);
}

PUNICODE_STRING NTAPI KsFilterFactoryGetSymbolicLink(PKSFILTERFACTORY FilterFactory)
{
    REFKS_FACTORY *factory = CONTAINING_RECORD(FilterFactory, REFKS_FACTORY, Public);

    return factory->LinkCount ? &factory->Links[0] : NULL;
}

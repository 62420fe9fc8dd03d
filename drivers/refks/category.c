/* SPDX-License-Identifier: Apache-2.0
 *
 * category.c - on Wine alone: the categories in which the filters of a device are.
 *
 * Wine registers an interface with a reference string but cannot enable it.  What is enabled there is the
 * interface without one, once for each category that an enabled factory has, and beside it the registry
 * keeps which factories these are: the agent makes an instance of each (kshsctl), and a filter of one is
 * opened by the plain name and IOCTL_KSHS_MAKE_FILTER.
 */
#include "refks.h"

#define CLASSES L"\\Registry\\Machine\\System\\CurrentControlSet\\Control\\DeviceClasses\\"
#define CLASSES_CHARACTERS (sizeof(CLASSES) / sizeof(WCHAR) - 1)
#define CONTROL L"\\#\\Control"         /* where Wine says that the interface is enabled; not kept over a restart */
#define VALUE L"KshsFilters"            /* REG_MULTI_SZ there; kshsctl's interface_factories.c reads it */
#define CLASS_CHARACTERS 38             /* of {xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx}, the end of a plain link */
#define PREFIX_CHARACTERS 4             /* of \??\ and of ##?# */

typedef struct REFKS_CATEGORY {
    LIST_ENTRY Entry;           /* in REFKS_DEVICE.Categories, under FactoriesLock */
    GUID Id;
    UNICODE_STRING Link;        /* without a reference string */
    PWSTR Names;                /* as the registry has them */
    ULONG Bytes;
    BOOLEAN Enabled;
} REFKS_CATEGORY;

static BOOLEAN IsIn(const REFKS_FACTORY *Factory, const GUID *Id)
{
    ULONG index;

    for (index = 0; Factory->Enabled && index < Factory->LinkCount; index++) {
        if (RefksSameGuid(&Factory->Public.FilterDescriptor->Categories[index], Id))
            return TRUE;
    }
    return FALSE;
}

/* What stands behind the plain name of each factory in a category, one after the other and an empty one last
 * (REG_MULTI_SZ): a backslash alone for the one that is found without a name, else one and the reference string.
 * A factory whose name finds another one is left out.  Their bytes, 0: there is no factory. */
static ULONG ListFactories(REFKS_DEVICE *Device, const GUID *Id, PWSTR Names)
{
    PLIST_ENTRY entry;
    ULONG at = 0;

    for (entry = Device->Header.Children.Flink; entry != &Device->Header.Children; entry = entry->Flink) {
        const REFKS_FACTORY *factory = CONTAINING_RECORD(entry, REFKS_FACTORY, Header.Sibling);
        ULONG length = RefksIsFirst(factory) ? 0 : factory->Reference.Length / sizeof(WCHAR);

        if (!IsIn(factory, Id) || (!RefksIsFirst(factory) && !length) ||
            RefksFindFactory(Device, factory->Reference.Buffer, length) != factory)
            continue;
        if (Names) {
            Names[at] = L'\\';
            RtlCopyMemory(Names + at + 1, factory->Reference.Buffer, length * sizeof(WCHAR));
            Names[at + 1 + length] = 0;
        }
        at += length + 2;
    }
    if (at && Names)
        Names[at] = 0;
    return at ? (at + 1) * sizeof(WCHAR) : 0;
}

static NTSTATUS Write(const REFKS_CATEGORY *Category, PWSTR Names, ULONG Bytes)
{
    ULONG length = Category->Link.Length / sizeof(WCHAR), at = 0;
    OBJECT_ATTRIBUTES attributes;
    UNICODE_STRING name;
    NTSTATUS status;
    HANDLE key;
    PWSTR path;

    if (length < PREFIX_CHARACTERS + CLASS_CHARACTERS)
        return STATUS_OBJECT_NAME_INVALID;
    path = RefksAllocate((CLASSES_CHARACTERS + CLASS_CHARACTERS + 1 + length) * sizeof(WCHAR) + sizeof(CONTROL));
    if (!path)
        return STATUS_INSUFFICIENT_RESOURCES;
    RtlCopyMemory(path, CLASSES, CLASSES_CHARACTERS * sizeof(WCHAR));
    at += CLASSES_CHARACTERS;
    RtlCopyMemory(path + at, Category->Link.Buffer + length - CLASS_CHARACTERS, CLASS_CHARACTERS * sizeof(WCHAR));
    at += CLASS_CHARACTERS;
    RtlCopyMemory(path + at, L"\\##?#", (1 + PREFIX_CHARACTERS) * sizeof(WCHAR));
    at += 1 + PREFIX_CHARACTERS;
    length -= PREFIX_CHARACTERS;
    RtlCopyMemory(path + at, Category->Link.Buffer + PREFIX_CHARACTERS, length * sizeof(WCHAR));
    RtlCopyMemory(path + at + length, CONTROL, sizeof(CONTROL));
    RtlInitUnicodeString(&name, path);
    InitializeObjectAttributes(&attributes, &name, OBJ_CASE_INSENSITIVE | OBJ_KERNEL_HANDLE, NULL, NULL);
    status = ZwCreateKey(&key, KEY_SET_VALUE, &attributes, 0, NULL, REG_OPTION_VOLATILE, NULL);
    RefksFree(path);
    if (!NT_SUCCESS(status))
        return status;
    RtlInitUnicodeString(&name, VALUE);
    status = ZwSetValueKey(key, &name, 0, REG_MULTI_SZ, Names, Bytes);
    (void)ZwClose(key);
    return status;
}

/* What is told of it, and whether it is enabled, is what the factories are now. */
static NTSTATUS Update(REFKS_DEVICE *Device, REFKS_CATEGORY *Category)
{
    ULONG bytes = ListFactories(Device, &Category->Id, NULL);
    NTSTATUS status = STATUS_SUCCESS;
    PWSTR names;

    if (!bytes) {
        if (Category->Enabled)
            status = IoSetDeviceInterfaceState(&Category->Link, FALSE);
        Category->Enabled = FALSE;
        return status;
    }
    names = RefksAllocate(bytes);
    if (!names)
        return STATUS_INSUFFICIENT_RESOURCES;
    (void)ListFactories(Device, &Category->Id, names);
    if (Category->Enabled && Category->Bytes == bytes && RtlCompareMemory(Category->Names, names, bytes) == bytes) {
        RefksFree(names);
        return STATUS_SUCCESS;
    }
    /* Before it is enabled: who finds the interface finds its factories. */
    status = Write(Category, names, bytes);
    RefksFree(Category->Names);
    Category->Names = names;
    Category->Bytes = NT_SUCCESS(status) ? bytes : 0;
    if (!NT_SUCCESS(status) || Category->Enabled)
        return status;
    status = IoSetDeviceInterfaceState(&Category->Link, TRUE);
    if (status == STATUS_OBJECT_NAME_EXISTS)
        status = STATUS_SUCCESS;
    Category->Enabled = (BOOLEAN)NT_SUCCESS(status);
    return status;
}

static REFKS_CATEGORY *Find(REFKS_DEVICE *Device, const GUID *Id)
{
    PLIST_ENTRY entry;

    for (entry = Device->Categories.Flink; entry != &Device->Categories; entry = entry->Flink) {
        REFKS_CATEGORY *category = CONTAINING_RECORD(entry, REFKS_CATEGORY, Entry);

        if (RefksSameGuid(&category->Id, Id))
            return category;
    }
    return NULL;
}

static NTSTATUS Add(REFKS_DEVICE *Device, const GUID *Id)
{
    REFKS_CATEGORY *category;
    NTSTATUS status;

    if (Find(Device, Id))
        return STATUS_SUCCESS;
    category = RefksAllocate(sizeof(*category));
    if (!category)
        return STATUS_INSUFFICIENT_RESOURCES;
    category->Id = *Id;
    status = IoRegisterDeviceInterface(Device->Public.PhysicalDeviceObject, Id, NULL, &category->Link);
    if (NT_SUCCESS(status))
        InsertTailList(&Device->Categories, &category->Entry);
    else
        RefksFree(category);
    return status;
}

static NTSTATUS AddAll(REFKS_DEVICE *Device)
{
    NTSTATUS status = STATUS_SUCCESS;
    PLIST_ENTRY entry;
    ULONG index;

    for (entry = Device->Header.Children.Flink; entry != &Device->Header.Children; entry = entry->Flink) {
        const REFKS_FACTORY *factory = CONTAINING_RECORD(entry, REFKS_FACTORY, Header.Sibling);

        for (index = 0; factory->Enabled && index < factory->LinkCount && NT_SUCCESS(status); index++)
            status = Add(Device, &factory->Public.FilterDescriptor->Categories[index]);
    }
    return status;
}

NTSTATUS RefksUpdateCategories(REFKS_DEVICE *Device)
{
    NTSTATUS status;
    PLIST_ENTRY entry;

    RefksLockMutex(&Device->FactoriesLock);
    status = AddAll(Device);
    for (entry = Device->Categories.Flink; entry != &Device->Categories; entry = entry->Flink) {
        NTSTATUS one = Update(Device, CONTAINING_RECORD(entry, REFKS_CATEGORY, Entry));

        if (!NT_SUCCESS(one))
            status = one;
    }
    RefksUnlockMutex(&Device->FactoriesLock);
    return status;
}

BOOLEAN RefksPlainLink(REFKS_DEVICE *Device, const GUID *Id, PUNICODE_STRING Link)
{
    REFKS_CATEGORY *category;
    BOOLEAN enabled;

    RefksLockMutex(&Device->FactoriesLock);
    category = Find(Device, Id);
    enabled = (BOOLEAN)(category && category->Enabled);
    RefksUnlockMutex(&Device->FactoriesLock);
    return enabled && NT_SUCCESS(IoRegisterDeviceInterface(Device->Public.PhysicalDeviceObject, Id, NULL, Link));
}

void RefksForgetCategories(REFKS_DEVICE *Device)
{
    while (!IsListEmpty(&Device->Categories)) {
        REFKS_CATEGORY *category = CONTAINING_RECORD(RemoveHeadList(&Device->Categories), REFKS_CATEGORY, Entry);

        RtlFreeUnicodeString(&category->Link);
        RefksFree(category->Names);
        RefksFree(category);
    }
}

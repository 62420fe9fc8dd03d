/* SPDX-License-Identifier: Apache-2.0
 *
 * interface.c - device interfaces: their keys, lists and arrivals, all from the registry,
 * where Wine keeps them.
 *
 * HKLM\System\CurrentControlSet\Control\DeviceClasses\{class}\##?#device#{class} is an interface,
 * # and the reference string below it what can be opened, Control\Linked there says whether it is enabled.
 * Wine cannot enable one with a reference string, which no open of a user finds there either: such a name
 * stands for the interface without.
 */
#include "interface.h"

#define CLASSES L"\\Registry\\Machine\\System\\CurrentControlSet\\Control\\DeviceClasses\\"
#define CLASS_LENGTH 38                 /* of {xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx} */
#define MAX_REFERENCE 200               /* of a reference string that has a key of its own */
#define PREFIX_LENGTH 4                 /* of \??\ and of ##?# */

/* The part of a name in front of the reference string, in characters; 0: it is no name of an interface. */
static ULONG Plain(PCUNICODE_STRING Link)
{
    ULONG length = Link->Length / sizeof(WCHAR);
    ULONG end;

    if (length < PREFIX_LENGTH + CLASS_LENGTH || Link->Buffer[0] != L'\\' || Link->Buffer[3] != L'\\')
        return 0;
    for (end = PREFIX_LENGTH; end < length && Link->Buffer[end] != L'\\'; end++)
        ;
    if (end < PREFIX_LENGTH + CLASS_LENGTH || Link->Buffer[end - 1] != L'}' || Link->Buffer[end - CLASS_LENGTH] != L'{')
        return 0;
    return end;
}

static NTSTATUS Open(PHANDLE Key, HANDLE Root, PCWSTR Name, ACCESS_MASK Access, BOOLEAN Create)
{
    OBJECT_ATTRIBUTES attributes;
    UNICODE_STRING name;

    RtlInitUnicodeString(&name, Name);
    InitializeObjectAttributes(&attributes, &name, OBJ_CASE_INSENSITIVE | OBJ_KERNEL_HANDLE, Root, NULL);
    if (Create)
        return ZwCreateKey(Key, Access, &attributes, 0, NULL, REG_OPTION_NON_VOLATILE, NULL);
    return ZwOpenKey(Key, Access, &attributes);
}

static NTSTATUS OpenInterface(PHANDLE Key, PCUNICODE_STRING Link, ULONG Length);
static NTSTATUS OpenInstance(PHANDLE Key, PCUNICODE_STRING Link, BOOLEAN Create);

/* ---- names -------------------------------------------------------------------------------------- */

/* PASSIVE_LEVEL, as all of this file. */
NTSTATUS NTAPI SupIoRegisterDeviceInterface(PDEVICE_OBJECT Device, const GUID *Class, PUNICODE_STRING Reference,
                                            PUNICODE_STRING Link)
{
    UNICODE_STRING plain;
    NTSTATUS status = IoRegisterDeviceInterface(Device, Class, NULL, &plain);
    PWSTR name;
    ULONG length;
    HANDLE key;

    if (!NT_SUCCESS(status) || !Reference || !Reference->Length) {
        if (NT_SUCCESS(status))
            *Link = plain;
        return status;
    }
    length = plain.Length + sizeof(WCHAR) + Reference->Length;
    name = ExAllocatePoolWithTag(PagedPool, length + sizeof(WCHAR), SUP_TAG);
    if (name) {
        RtlCopyMemory(name, plain.Buffer, plain.Length);
        name[plain.Length / sizeof(WCHAR)] = L'\\';
        RtlCopyMemory(name + plain.Length / sizeof(WCHAR) + 1, Reference->Buffer, Reference->Length);
        name[length / sizeof(WCHAR)] = 0;
    }
    if (!name || !RtlCreateUnicodeString(Link, name))
        status = STATUS_INSUFFICIENT_RESOURCES;
    else if (NT_SUCCESS(OpenInstance(&key, Link, TRUE)))
        (void)ZwClose(key);             /* it is there from now on, for whoever looks for an alias */
    if (name)
        ExFreePoolWithTag(name, SUP_TAG);
    RtlFreeUnicodeString(&plain);
    return status;
}

NTSTATUS NTAPI SupIoSetDeviceInterfaceState(PUNICODE_STRING Link, BOOLEAN Enable)
{
    UNICODE_STRING plain = *Link;
    ULONG length = Plain(Link);

    if (length)
        plain.Length = (USHORT)(length * sizeof(WCHAR));
    return IoSetDeviceInterfaceState(&plain, Enable);
}

/* The key of an interface, without its reference string. */
static NTSTATUS OpenInterface(PHANDLE Key, PCUNICODE_STRING Link, ULONG Length)
{
    static const WCHAR classes[] = CLASSES;
    ULONG at = RTL_NUMBER_OF(classes) - 1;
    NTSTATUS status;
    PWSTR path;

    path = ExAllocatePoolWithTag(PagedPool, (at + CLASS_LENGTH + 1 + Length + 1) * sizeof(WCHAR), SUP_TAG);
    if (!path)
        return STATUS_INSUFFICIENT_RESOURCES;
    RtlCopyMemory(path, classes, at * sizeof(WCHAR));
    RtlCopyMemory(path + at, Link->Buffer + Length - CLASS_LENGTH, CLASS_LENGTH * sizeof(WCHAR));
    at += CLASS_LENGTH;
    path[at++] = L'\\';
    RtlCopyMemory(path + at, L"##?#", PREFIX_LENGTH * sizeof(WCHAR));
    RtlCopyMemory(path + at + PREFIX_LENGTH, Link->Buffer + PREFIX_LENGTH, (Length - PREFIX_LENGTH) * sizeof(WCHAR));
    path[at + Length] = 0;
    status = Open(Key, NULL, path, KEY_READ | KEY_CREATE_SUB_KEY, FALSE);
    ExFreePoolWithTag(path, SUP_TAG);
    return status;
}

/* The key of a name: # and the reference string below that of the interface. */
static NTSTATUS OpenInstance(PHANDLE Key, PCUNICODE_STRING Link, BOOLEAN Create)
{
    WCHAR instance[2 + MAX_REFERENCE] = L"#";
    ULONG length = Plain(Link), reference;
    NTSTATUS status;
    HANDLE link;

    if (!length)
        return STATUS_INVALID_PARAMETER;
    reference = Link->Length / sizeof(WCHAR) > length ? Link->Length / sizeof(WCHAR) - length - 1 : 0;
    if (reference > MAX_REFERENCE)
        return STATUS_INVALID_PARAMETER;
    if (reference)
        RtlCopyMemory(instance + 1, Link->Buffer + length + 1, reference * sizeof(WCHAR));
    instance[1 + reference] = 0;
    status = OpenInterface(&link, Link, length);
    if (!NT_SUCCESS(status))
        return status;
    status = Open(Key, link, instance, KEY_READ | KEY_CREATE_SUB_KEY, Create);
    (void)ZwClose(link);
    return status;
}

NTSTATUS NTAPI SupIoOpenDeviceInterfaceRegistryKey(PUNICODE_STRING Link, ACCESS_MASK Access, PHANDLE Key)
{
    NTSTATUS status;
    HANDLE instance;

    *Key = NULL;
    status = OpenInstance(&instance, Link, TRUE);
    if (!NT_SUCCESS(status))
        return status;
    status = Open(Key, instance, L"Device Parameters", Access, TRUE);
    (void)ZwClose(instance);
    return status;
}

/* The same device and reference string in another class, where somebody has registered that. */
NTSTATUS NTAPI SupIoGetDeviceInterfaceAlias(PUNICODE_STRING Link, const GUID *Class, PUNICODE_STRING Alias)
{
    ULONG length = Plain(Link);
    UNICODE_STRING guid, name;
    NTSTATUS status;
    HANDLE instance;

    RtlInitUnicodeString(Alias, NULL);
    if (!length)
        return STATUS_INVALID_HANDLE;
    name.Length = Link->Length;
    name.MaximumLength = Link->Length + sizeof(WCHAR);
    name.Buffer = ExAllocatePoolWithTag(PagedPool, name.MaximumLength, SUP_TAG);
    if (!name.Buffer)
        return STATUS_INSUFFICIENT_RESOURCES;
    RtlCopyMemory(name.Buffer, Link->Buffer, Link->Length);
    name.Buffer[Link->Length / sizeof(WCHAR)] = 0;
    status = RtlStringFromGUID(Class, &guid);
    if (NT_SUCCESS(status)) {
        RtlCopyMemory(name.Buffer + length - CLASS_LENGTH, guid.Buffer, CLASS_LENGTH * sizeof(WCHAR));
        RtlFreeUnicodeString(&guid);
        status = OpenInstance(&instance, &name, FALSE);
    }
    if (NT_SUCCESS(status)) {
        (void)ZwClose(instance);
        if (!RtlCreateUnicodeString(Alias, name.Buffer))
            status = STATUS_INSUFFICIENT_RESOURCES;
    }
    ExFreePoolWithTag(name.Buffer, SUP_TAG);
    return status;
}

/* ---- lists -------------------------------------------------------------------------------------- */

/* Whether the interface below this key is enabled. */
static BOOLEAN Enabled(HANDLE Interface)
{
    struct {
        KEY_VALUE_PARTIAL_INFORMATION Header;
        UCHAR Rest[sizeof(ULONG)];
    } found;
    UNICODE_STRING name = RTL_CONSTANT_STRING(L"Linked");
    BOOLEAN enabled = FALSE;
    HANDLE control;
    ULONG length;

    if (!NT_SUCCESS(Open(&control, Interface, L"#\\Control", KEY_READ, FALSE)))
        return FALSE;
    if (NT_SUCCESS(ZwQueryValueKey(control, &name, KeyValuePartialInformation, &found, sizeof(found), &length)) &&
        found.Header.DataLength == sizeof(ULONG))
        enabled = *(const ULONG UNALIGNED *)found.Header.Data != 0;
    (void)ZwClose(control);
    return enabled;
}

NTSTATUS SupEnumerateInterfaces(const GUID *Class, BOOLEAN All, SUP_INTERFACE Each, PVOID Context)
{
    static const WCHAR classes[] = CLASSES;
    WCHAR path[RTL_NUMBER_OF(classes) + CLASS_LENGTH];
    struct {
        KEY_BASIC_INFORMATION Header;
        WCHAR Rest[SUP_LINK_LENGTH];
    } key;
    UNICODE_STRING guid;
    HANDLE class, link;
    ULONG index, length;
    NTSTATUS status = RtlStringFromGUID(Class, &guid);

    if (!NT_SUCCESS(status))
        return status;
    RtlCopyMemory(path, classes, sizeof(classes) - sizeof(WCHAR));
    RtlCopyMemory(path + RTL_NUMBER_OF(classes) - 1, guid.Buffer, CLASS_LENGTH * sizeof(WCHAR));
    path[RTL_NUMBER_OF(path) - 1] = 0;
    RtlFreeUnicodeString(&guid);
    if (!NT_SUCCESS(Open(&class, NULL, path, KEY_READ, FALSE)))
        return STATUS_SUCCESS;          /* nobody has registered one */
    for (index = 0; NT_SUCCESS(status); index++) {
        status = ZwEnumerateKey(class, index, KeyBasicInformation, &key, sizeof(key) - sizeof(WCHAR), &length);
        if (!NT_SUCCESS(status))
            break;
        length = key.Header.NameLength / sizeof(WCHAR);
        key.Header.Name[length] = 0;
        if (length < PREFIX_LENGTH + CLASS_LENGTH || key.Header.Name[0] != L'#' ||
            !NT_SUCCESS(Open(&link, class, key.Header.Name, KEY_READ, FALSE)))
            continue;
        if (All || Enabled(link)) {
            RtlCopyMemory(key.Header.Name, L"\\??\\", PREFIX_LENGTH * sizeof(WCHAR));
            status = Each(key.Header.Name, Context);
        }
        (void)ZwClose(link);
    }
    (void)ZwClose(class);
    return status == STATUS_NO_MORE_ENTRIES || status == STATUS_BUFFER_OVERFLOW ? STATUS_SUCCESS : status;
}

typedef struct LISTING {
    PWSTR List;                         /* names, each with a zero behind it */
    SIZE_T Length;                      /* in characters */
    UNICODE_STRING Device;              /* how the names begin that are wanted; empty: all */
} LISTING;

static NTSTATUS Append(PCWSTR Link, PVOID Context)
{
    LISTING *listing = Context;
    UNICODE_STRING name;
    PWSTR longer;
    SIZE_T length;

    RtlInitUnicodeString(&name, Link);
    if (listing->Device.Length && !RtlPrefixUnicodeString(&listing->Device, &name, TRUE))
        return STATUS_SUCCESS;
    length = name.Length / sizeof(WCHAR) + 1;
    longer = ExAllocatePool(PagedPool, (listing->Length + length + 1) * sizeof(WCHAR));
    if (!longer)
        return STATUS_INSUFFICIENT_RESOURCES;
    if (listing->List) {
        RtlCopyMemory(longer, listing->List, listing->Length * sizeof(WCHAR));
        ExFreePool(listing->List);
    }
    RtlCopyMemory(longer + listing->Length, Link, length * sizeof(WCHAR));
    listing->List = longer;
    listing->Length += length;
    longer[listing->Length] = 0;
    return STATUS_SUCCESS;
}

/* How the names of a device's interfaces begin: as that of a class of our own that is never enabled. */
static NTSTATUS DevicePart(PDEVICE_OBJECT Device, PUNICODE_STRING Part)
{
    static const GUID own = { 0x8E0C1D4A, 0x52F7, 0x4C8B, { 0x9D, 0x31, 0x7A, 0x60, 0xB2, 0x18, 0xC5, 0x4F } };
    NTSTATUS status = IoRegisterDeviceInterface(Device, &own, NULL, Part);

    if (NT_SUCCESS(status) && Part->Length > CLASS_LENGTH * sizeof(WCHAR))
        Part->Length -= CLASS_LENGTH * sizeof(WCHAR);
    return status;
}

NTSTATUS NTAPI SupIoGetDeviceInterfaces(const GUID *Class, PDEVICE_OBJECT Device, ULONG Flags, PWSTR *List)
{
    LISTING listing = { NULL, 0, { 0, 0, NULL } };
    NTSTATUS status = STATUS_SUCCESS;

    *List = NULL;
    if (Device)
        status = DevicePart(Device, &listing.Device);
    if (NT_SUCCESS(status))
        status = SupEnumerateInterfaces(Class, (Flags & DEVICE_INTERFACE_INCLUDE_NONACTIVE) != 0, Append, &listing);
    if (listing.Device.Buffer)
        RtlFreeUnicodeString(&listing.Device);
    if (NT_SUCCESS(status) && !listing.List) {
        listing.List = ExAllocatePool(PagedPool, 2 * sizeof(WCHAR));
        if (!listing.List)
            return STATUS_INSUFFICIENT_RESOURCES;
        listing.List[0] = listing.List[1] = 0;
    }
    if (NT_SUCCESS(status))
        *List = listing.List;
    else if (listing.List)
        ExFreePool(listing.List);
    return status;
}

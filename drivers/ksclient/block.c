/* SPDX-License-Identifier: Apache-2.0
 *
 * block.c - memory that the client shares with its opener: IOCTL_KSHS_BLOCK.
 *
 * What a batch says in it has to outlive the driver under test.  Under Wine the
 * drivers are a process and the opener is another: it makes a section under a
 * name of its own, which is mapped here as in any process, and reads there what
 * became of a batch whose drivers are gone.  On NT a stop of the kernel takes
 * opener and section with it, and what they had not passed on would be lost; so
 * there is no block there, and each step travels alone.
 */
#include "ksclient.h"

#define MAX_NAME_BYTES 512
#define SUFFIX_CHARS 5              /* "-bell", "-done" */

/* Function 0x8FF of the client's device type: nobody has it, the client neither. */
#define UNKNOWN_CONTROL CTL_CODE(KSHS_CLIENT_DEVICE_TYPE, 0x8FF, METHOD_NEITHER, FILE_ANY_ACCESS)

/*
 * Wine delivers IRP_MJ_CLOSE some time after ZwClose has returned: all that comes from outside goes through one
 * queue, in its order.  A step that travels alone comes through it, too, and so behind each close that an earlier
 * step has caused; a step of a batch has to wait until the queue is through with them.
 */
static volatile LONG closes;        /* handles closed so far */
static volatile LONG delivered;     /* of these, those that the queue is known to be through with */

void ksc_closed(void)
{
    InterlockedIncrement(&closes);
}

LONG ksc_closes(void)
{
    return closes;
}

void ksc_closes_delivered(LONG count)
{
    LONG before = delivered;

    while (count - before > 0) {
        LONG found = InterlockedCompareExchange(&delivered, count, before);

        if (found == before)
            return;
        before = found;
    }
}

void ksc_closes_await(const ksc_context *context, BOOLEAN all)
{
    LONG count = closes;
    IO_STATUS_BLOCK unused;

    if (count == delivered && !all)
        return;
    ZwDeviceIoControlFile(context->shared->self, NULL, NULL, NULL, &unused, UNKNOWN_CONTROL, NULL, 0, NULL, 0);
    ksc_closes_delivered(count);
}

BOOLEAN ksc_block_possible(void)
{
    return kshs_is_wine();
}

static NTSTATUS map(const void *name, ULONG name_bytes, uint8_t **block)
{
    OBJECT_ATTRIBUTES attributes;
    UNICODE_STRING path;
    HANDLE section;
    PVOID base = NULL;
    SIZE_T bytes = KSHS_BLOCK_BYTES;
    NTSTATUS status;

    path.Buffer = (PWCH)name;
    path.Length = path.MaximumLength = (USHORT)name_bytes;
    InitializeObjectAttributes(&attributes, &path, OBJ_KERNEL_HANDLE, NULL, NULL);
    status = ZwOpenSection(&section, SECTION_MAP_READ | SECTION_MAP_WRITE, &attributes);
    if (!NT_SUCCESS(status))
        return status;
    status = ZwMapViewOfSection(section, ZwCurrentProcess(), &base, 0, 0, NULL, &bytes, ViewUnmap, 0, PAGE_READWRITE);
    ZwClose(section);                       /* the view keeps it */
    if (NT_SUCCESS(status))
        *block = base;
    return status;
}

static NTSTATUS open_event(const void *name, ULONG name_bytes, const WCHAR *suffix, HANDLE *event)
{
    WCHAR path[MAX_NAME_BYTES / sizeof(WCHAR) + SUFFIX_CHARS];
    OBJECT_ATTRIBUTES attributes;
    UNICODE_STRING string;

    RtlCopyMemory(path, name, name_bytes);
    RtlCopyMemory((uint8_t *)path + name_bytes, suffix, SUFFIX_CHARS * sizeof(WCHAR));
    string.Buffer = path;
    string.Length = string.MaximumLength = (USHORT)(name_bytes + SUFFIX_CHARS * sizeof(WCHAR));
    InitializeObjectAttributes(&attributes, &string, OBJ_KERNEL_HANDLE, NULL, NULL);
    return ZwOpenEvent(event, EVENT_MODIFY_STATE | SYNCHRONIZE, &attributes);
}

/* A handle to the client itself, to send through the queue.  On Wine an open does not wait for its create request,
 * so the thread that dispatches may ask for it. */
static NTSTATUS open_self(HANDLE *self)
{
    UNICODE_STRING name = RTL_CONSTANT_STRING(L"\\Device\\KsHsClient");
    OBJECT_ATTRIBUTES attributes;
    IO_STATUS_BLOCK unused;

    InitializeObjectAttributes(&attributes, &name, OBJ_KERNEL_HANDLE, NULL, NULL);
    return ZwCreateFile(self, GENERIC_READ | GENERIC_WRITE | SYNCHRONIZE, &attributes, &unused, NULL,
                        FILE_ATTRIBUTE_NORMAL, FILE_SHARE_READ | FILE_SHARE_WRITE, FILE_OPEN,
                        FILE_SYNCHRONOUS_IO_NONALERT, NULL, 0);
}

static void give_back(ksc_shared *shared)
{
    HANDLE *handles[3] = { &shared->bell, &shared->done, &shared->self };
    int i;

    for (i = 0; i < 3; i++)
        if (*handles[i])
            ZwClose(*handles[i]);
    if (shared->block)
        ZwUnmapViewOfSection(ZwCurrentProcess(), shared->block);
    ExFreePoolWithTag(shared, KSC_TAG);
}

static NTSTATUS make(const void *name, ULONG name_bytes, ksc_shared **made)
{
    ksc_shared *shared = kshs_zalloc(sizeof *shared, KSC_TAG);
    NTSTATUS status;

    if (!shared)
        return STATUS_INSUFFICIENT_RESOURCES;
    status = map(name, name_bytes, &shared->block);
    if (NT_SUCCESS(status))
        status = open_event(name, name_bytes, L"-bell", &shared->bell);
    if (NT_SUCCESS(status))
        status = open_event(name, name_bytes, L"-done", &shared->done);
    if (NT_SUCCESS(status))
        status = open_self(&shared->self);
    if (NT_SUCCESS(status))
        *made = shared;
    else
        give_back(shared);
    return status;
}

NTSTATUS ksc_block(ksc_context *context, PIRP irp, PIO_STACK_LOCATION stack)
{
    ULONG name_bytes = stack->Parameters.DeviceIoControl.InputBufferLength;
    ksc_shared *shared;
    NTSTATUS status;

    if (!ksc_block_possible())
        return kshs_complete(irp, STATUS_NOT_SUPPORTED, 0);
    if (!name_bytes || name_bytes % sizeof(WCHAR) || name_bytes > MAX_NAME_BYTES)
        return kshs_complete(irp, STATUS_OBJECT_NAME_INVALID, 0);
    status = make(irp->AssociatedIrp.SystemBuffer, name_bytes, &shared);
    if (NT_SUCCESS(status) && InterlockedCompareExchangePointer((PVOID *)&context->shared, shared, NULL)) {
        give_back(shared);
        status = STATUS_OBJECT_NAME_COLLISION;
    }
    return kshs_complete(irp, status, 0);
}

/* The context ends: who waits for the bell is to see that. */
void ksc_block_shut(const ksc_context *context)
{
    if (context->shared)
        ZwSetEvent(context->shared->bell, NULL);
}

/* With the last reference to the context: no batch of it is under way any more. */
void ksc_block_end(ksc_context *context)
{
    if (context->shared)
        give_back(context->shared);
}

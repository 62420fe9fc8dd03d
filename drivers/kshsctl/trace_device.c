/* SPDX-License-Identifier: Apache-2.0
 *
 * trace_device.c - the handle to kstrace.sys and its controls.
 */
#include "trace.h"
#include <winioctl.h>

#define PATIENCE_MS 10000
#define RECORDS_AT_ONCE 128

NTSTATUS trace_open(HANDLE *handle)
{
    UNICODE_STRING name;
    OBJECT_ATTRIBUTES attributes;
    IO_STATUS_BLOCK status;

    *handle = NULL;
    RtlInitUnicodeString(&name, TRACE_NT_PATH);
    InitializeObjectAttributes(&attributes, &name, OBJ_CASE_INSENSITIVE, NULL, NULL);
    return NtCreateFile(handle, GENERIC_READ | GENERIC_WRITE | SYNCHRONIZE, &attributes, &status, NULL,
                        FILE_ATTRIBUTE_NORMAL, FILE_SHARE_READ | FILE_SHARE_WRITE, FILE_OPEN, 0, NULL, 0);
}

/* What the kernel may still write to when the patience is over. */
typedef struct pending {
    IO_STATUS_BLOCK status;
    uint8_t data[];
} pending;

static NTSTATUS send(HANDLE handle, HANDLE event, pending *p, DWORD code, size_t in_size, size_t out_size)
{
    uint8_t *out = p->data + in_size;
    NTSTATUS status = NtDeviceIoControlFile(handle, event, NULL, NULL, &p->status, code, in_size ? p->data : NULL,
                                            (ULONG)in_size, out_size ? out : NULL, (ULONG)out_size);

    if (status != STATUS_PENDING)
        return status;
    if (WaitForSingleObject(event, PATIENCE_MS) != WAIT_OBJECT_0)
        return STATUS_IO_TIMEOUT;
    return p->status.Status;
}

NTSTATUS trace_control(HANDLE handle, DWORD code, const void *in, size_t in_size, void *out, size_t out_size,
                       size_t *got)
{
    pending *p = calloc(1, sizeof(*p) + in_size + out_size);
    HANDLE event = CreateEventW(NULL, TRUE, FALSE, NULL);
    NTSTATUS status = STATUS_NO_MEMORY;

    if (p && event) {
        if (in_size)
            memcpy(p->data, in, in_size);
        status = send(handle, event, p, code, in_size, out_size);
        if (status == STATUS_IO_TIMEOUT)
            return status;
        if (NT_SUCCESS(status)) {
            size_t given = p->status.Information < out_size ? (size_t)p->status.Information : out_size;

            if (given)
                memcpy(out, p->data + in_size, given);
            if (got)
                *got = given;
        }
    }
    if (event)
        CloseHandle(event);
    free(p);
    return status;
}

NTSTATUS trace_state(HANDLE handle, kstrace_state *state)
{
    size_t got = 0;
    NTSTATUS status = trace_control(handle, IOCTL_KSTRACE_STATE, NULL, 0, state, sizeof(*state), &got);

    if (NT_SUCCESS(status) && (got != sizeof(*state) || state->version != KSTRACE_VERSION))
        status = STATUS_REVISION_MISMATCH;
    return status;
}

/* Those that are there when it begins; what comes meanwhile overwrites old ones, of which there are then fewer. */
NTSTATUS trace_fetch(HANDLE handle, kstrace_state *state, kstrace_record **records, size_t *count)
{
    NTSTATUS status = trace_state(handle, state);
    uint64_t first = 1;

    *count = 0;
    *records = NULL;
    if (!NT_SUCCESS(status))
        return status;
    *records = calloc(state->records + 1, sizeof(**records));
    if (!*records)
        return STATUS_NO_MEMORY;
    while (*count < state->records && first < state->next) {
        size_t room = state->records - *count, got = 0;

        if (room > RECORDS_AT_ONCE)
            room = RECORDS_AT_ONCE;
        status = trace_control(handle, IOCTL_KSTRACE_READ, &first, sizeof(first), *records + *count,
                               room * sizeof(**records), &got);
        got /= sizeof(**records);
        if (!NT_SUCCESS(status) || !got)
            break;
        *count += got;
        first = (*records)[*count - 1].number + 1;
    }
    while (*count && (*records)[*count - 1].number >= state->next)
        --*count;
    return status;
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * kernel_server.c - what the agent shares with ksclient.sys: a block of memory, and two events.
 */
#include "kernel.h"

static NTSTATUS announce(HANDLE handle, const wchar_t *name)
{
    struct pending {
        IO_STATUS_BLOCK status;
        wchar_t name[64];
    } *pending = calloc(1, sizeof(*pending));
    HANDLE event = CreateEventW(NULL, TRUE, FALSE, NULL);
    NTSTATUS status = STATUS_NO_MEMORY;

    if (pending && event) {
        wcscpy(pending->name, name);
        status = NtDeviceIoControlFile(handle, event, NULL, NULL, &pending->status, IOCTL_KSHS_BLOCK, pending->name,
                                       (ULONG)(wcslen(name) * sizeof(wchar_t)), NULL, 0);
        if (status == STATUS_PENDING) {
            if (WaitForSingleObject(event, KERNEL_CONTROL_WAIT_MS) != WAIT_OBJECT_0)
                return STATUS_IO_TIMEOUT;           /* the buffers are the driver's */
            status = pending->status.Status;
        }
    }
    if (event)
        CloseHandle(event);
    free(pending);
    return status;
}

/* One of our own: a name that somebody has already is none. */
static HANDLE make_event(const wchar_t *name, const wchar_t *suffix)
{
    wchar_t path[80];
    HANDLE event;

    format_text(path, ARRAY_COUNT(path), L"Global\\%ls%ls", name, suffix);
    event = CreateEventW(NULL, FALSE, FALSE, path);
    if (event && GetLastError() == ERROR_ALREADY_EXISTS) {
        CloseHandle(event);
        event = NULL;
    }
    return event;
}

static void make_block(server *s, const wchar_t *name)
{
    wchar_t path[80];

    format_text(path, ARRAY_COUNT(path), L"Global\\%ls", name);
    s->section = CreateFileMappingW(INVALID_HANDLE_VALUE, NULL, PAGE_READWRITE, 0, KSHS_BLOCK_BYTES, path);
    if (s->section && GetLastError() != ERROR_ALREADY_EXISTS)
        s->block = MapViewOfFile(s->section, FILE_MAP_READ | FILE_MAP_WRITE, 0, 0, KSHS_BLOCK_BYTES);
}

void server_free(server *s)
{
    HANDLE handles[4];
    int i;

    handles[0] = s->section;
    handles[1] = s->bell;
    handles[2] = s->done;
    handles[3] = s->event;
    for (i = 0; i < 4; i++)
        if (handles[i])
            CloseHandle(handles[i]);
    if (s->block)
        UnmapViewOfFile(s->block);
    free(s);
}

server *server_connect(HANDLE handle)
{
    wchar_t name[40], native[64];
    NTSTATUS status = STATUS_NO_MEMORY;
    LARGE_INTEGER counter;
    server *s;

    if (!nt_is_wine())
        return NULL;                /* ksclient/block.c says why not elsewhere */
    QueryPerformanceCounter(&counter);
    format_text(name, ARRAY_COUNT(name), L"KsHs-%lx-%llx", GetCurrentProcessId(), (unsigned long long)counter.QuadPart);
    s = calloc(1, sizeof(*s));
    if (s) {
        make_block(s, name);
        s->bell = make_event(name, L"-bell");
        s->done = make_event(name, L"-done");
        s->event = CreateEventW(NULL, TRUE, FALSE, NULL);
    }
    if (s && s->block && s->bell && s->done && s->event) {
        format_text(native, ARRAY_COUNT(native), L"\\BaseNamedObjects\\%ls", name);
        status = announce(handle, native);
    }
    if (NT_SUCCESS(status))
        return s;
    output_log(L"no memory is shared with the client (NTSTATUS 0x%08lx): every step goes to it alone",
               (unsigned long)status);
    if (s && status != STATUS_IO_TIMEOUT)
        server_free(s);
    return NULL;
}

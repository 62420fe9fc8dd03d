/* SPDX-License-Identifier: Apache-2.0
 *
 * client.c - the handle to ksclient.sys and its version.
 */
#include "nt.h"
#include <winioctl.h>

#define PING_TIMEOUT_MS 10000

NTSTATUS client_open(HANDLE *handle)
{
    UNICODE_STRING name;
    OBJECT_ATTRIBUTES attributes;
    IO_STATUS_BLOCK status;

    *handle = NULL;
    RtlInitUnicodeString(&name, CLIENT_NT_PATH);
    InitializeObjectAttributes(&attributes, &name, OBJ_CASE_INSENSITIVE, NULL, NULL);
    return NtCreateFile(handle, GENERIC_READ | GENERIC_WRITE | SYNCHRONIZE, &attributes, &status, NULL,
                        FILE_ATTRIBUTE_NORMAL, FILE_SHARE_READ | FILE_SHARE_WRITE, FILE_OPEN, 0, NULL, 0);
}

/*
 * The buffers of a request that does not come back belong to the kernel from
 * then on: after STATUS_TIMEOUT the version block is given up, not freed.
 */
NTSTATUS client_version(HANDLE handle, kshs_client_version *version, DWORD timeout_ms)
{
    struct pending {
        IO_STATUS_BLOCK status;
        kshs_client_version version;
    } *pending = calloc(1, sizeof(*pending));
    HANDLE event = CreateEventW(NULL, TRUE, FALSE, NULL);
    NTSTATUS status = STATUS_NO_MEMORY;

    if (pending && event) {
        status = NtDeviceIoControlFile(handle, event, NULL, NULL, &pending->status, IOCTL_KSHS_VERSION, NULL, 0,
                                       &pending->version, sizeof(pending->version));
        if (status == STATUS_PENDING) {
            if (WaitForSingleObject(event, timeout_ms) != WAIT_OBJECT_0)
                return STATUS_IO_TIMEOUT;
            status = pending->status.Status;
        }
        if (NT_SUCCESS(status)) {
            *version = pending->version;
            if (pending->status.Information != sizeof(*version) || version->abi_version != KSHS_ABI_VERSION)
                status = STATUS_REVISION_MISMATCH;
        }
    }
    if (event)
        CloseHandle(event);
    free(pending);
    return status;
}

static void json_version(json *j, const kshs_client_version *version)
{
    json_unsigned(j, "abi", version->abi_version);
    json_unsigned(j, "pointer_size", version->pointer_size);
    json_unsigned(j, "handshake_size", version->handshake_size);
    json_unsigned(j, "major", version->major);
    json_unsigned(j, "minor", version->minor);
    json_unsigned(j, "build", version->build_number);
    json_bool(j, "wine", version->is_wine != 0);
    json_bool(j, "batches", version->batches != 0);
}

void json_client(json *j, const char *key)
{
    kshs_client_version version;
    HANDLE handle;
    NTSTATUS status = client_open(&handle);

    memset(&version, 0, sizeof(version));
    json_object(j, key);
    if (NT_SUCCESS(status)) {
        status = client_version(handle, &version, PING_TIMEOUT_MS);
        CloseHandle(handle);
    }
    json_bool(j, "loaded", NT_SUCCESS(status) || version.abi_version);
    if (version.abi_version)
        json_version(j, &version);
    else
        json_null(j, "abi");
    json_end(j);
}

int verb_ping(int count, wchar_t **arguments)
{
    kshs_client_version version;
    HANDLE handle = NULL;
    NTSTATUS status;
    report r;

    (void)count;
    (void)arguments;
    memset(&version, 0, sizeof(version));
    report_start(&r, "ping");
    report_step(&r, "open");
    status = client_open(&handle);
    if (!NT_SUCCESS(status)) {
        report_fail(&r, RtlNtStatusToDosError(status),
                    L"the client cannot be opened (NTSTATUS 0x%08lx); install it with: kshsctl install-client FILE",
                    (unsigned long)status);
        return report_finish(&r);
    }
    report_step(&r, "version");
    status = client_version(handle, &version, PING_TIMEOUT_MS);
    if (version.abi_version)
        json_version(&r.body, &version);
    if (status == STATUS_REVISION_MISMATCH)
        report_fail(&r, 0, L"the client speaks ABI version %lu, this agent version %u; install both from one build",
                    (unsigned long)version.abi_version, KSHS_ABI_VERSION);
    else if (!NT_SUCCESS(status))
        report_fail(&r, RtlNtStatusToDosError(status), L"the client does not answer (NTSTATUS 0x%08lx)",
                    (unsigned long)status);
    if (status != STATUS_IO_TIMEOUT)    /* closing could wait for the request that did not come back */
        CloseHandle(handle);
    return report_finish(&r);
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * share.c - a user-mode handle to what the client has open.
 *
 * Pins are connected by those who can name them to each other, and on Wine only
 * drivers can.  A user-mode caller that is to reach such a pin gets a handle to
 * the very file object.
 */
#include "ksclient.h"

/* Documented; the WDK declares it in the header of file systems only. */
NTKERNELAPI NTSTATUS NTAPI ObOpenObjectByPointer(PVOID Object, ULONG HandleAttributes, PACCESS_STATE PassedAccessState,
                                                 ACCESS_MASK DesiredAccess, POBJECT_TYPE ObjectType,
                                                 KPROCESSOR_MODE AccessMode, PHANDLE Handle);

static uint32_t own_process;        /* of the drivers, on Wine */

void ksc_share_init(void)
{
    own_process = (uint32_t)(ULONG_PTR)PsGetCurrentProcessId();
}

/* NT: a control arrives in its caller's process, and a handle that is made here is one of that.  Wine has the
 * drivers in a process like any other; the caller makes a handle of its own of the one that is there. */
static NTSTATUS share(const ksc_object *object, kshs_record *record)
{
    HANDLE handle = NULL;
    NTSTATUS status = STATUS_SUCCESS;

    if (kshs_is_wine()) {
        handle = object->handle;
        record->changed_bytes = own_process;
    } else {
        status = ObOpenObjectByPointer(object->file, 0, NULL, GENERIC_READ | GENERIC_WRITE | SYNCHRONIZE,
                                       KSHS_IO_FILE_OBJECT_TYPE, KernelMode, &handle);
    }
    record->information = (uint64_t)(ULONG_PTR)handle;
    return status;
}

NTSTATUS ksc_share(ksc_context *context, PIRP irp, uint32_t slot)
{
    ksc_object *object = ksc_slot_get(context, slot);
    NTSTATUS status = STATUS_INVALID_HANDLE;
    kshs_record record;

    ksc_record_init(&record, KSHS_OP_SHARE);
    if (object && object->handle)
        status = share(object, &record);
    if (object && NT_SUCCESS(status))
        object->shared = TRUE;
    if (object)
        ksc_object_release(object);
    record.returned = KSHS_STATUS_U32(status);
    if (!NT_SUCCESS(status)) {
        record.outcome = KSHS_OUTCOME_REFUSED;
        record.detail = KSHS_STATUS_U32(status);
    }
    RtlCopyMemory(irp->AssociatedIrp.SystemBuffer, &record, sizeof record);
    return kshs_complete(irp, STATUS_SUCCESS, sizeof record);
}

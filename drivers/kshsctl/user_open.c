/* SPDX-License-Identifier: Apache-2.0
 *
 * user_open.c - opens by name, and what Wine opens in two steps.
 */
#include "user.h"
#include "kshs_plain_name.h"

NTSTATUS open_file(HANDLE root, const void *name, uint32_t bytes, bool synchronous, HANDLE *handle,
                   IO_STATUS_BLOCK *status)
{
    UNICODE_STRING text;
    OBJECT_ATTRIBUTES attributes;

    text.Buffer = (PWSTR)(ULONG_PTR)name;
    text.Length = text.MaximumLength = (USHORT)bytes;
    *handle = NULL;
    status->Status = (NTSTATUS)KSHS_POISON_STATUS;
    status->Information = (ULONG_PTR)KSHS_POISON_INFORMATION;
    InitializeObjectAttributes(&attributes, &text, OBJ_CASE_INSENSITIVE, root, NULL);
    return NtCreateFile(handle, GENERIC_READ | GENERIC_WRITE | SYNCHRONIZE, &attributes, status, NULL,
                        FILE_ATTRIBUTE_NORMAL, FILE_SHARE_READ | FILE_SHARE_WRITE, FILE_OPEN,
                        synchronous ? FILE_SYNCHRONOUS_IO_NONALERT : 0, NULL, 0);
}

bool open_make(step_context *context, uint32_t control, const void *name, uint32_t bytes, HANDLE *handle,
               NTSTATUS *returned, IO_STATUS_BLOCK *status)
{
    plain_control *c = plain_new(bytes, 0);

    if (!c) {
        NtClose(*handle);
        step_refuse(context, STATUS_NO_MEMORY, L"no memory for the name");
        return false;
    }
    memcpy(c->in, name, bytes);
    if (!plain_send(c, *handle, control, context->step->timeout_ms)) {
        if (step_claim(context)) {
            context->record.outcome = KSHS_OUTCOME_HUNG;
            context->record.detail = (uint32_t)STATUS_TIMEOUT;
        }
        return false;
    }
    *returned = c->result;
    *status = c->status;
    if (!NT_SUCCESS(*returned)) {
        NtClose(*handle);
        *handle = NULL;
    }
    plain_free(c);
    return true;
}

bool open_by_path(step_context *context, const wchar_t *path, uint32_t bytes, bool synchronous, HANDLE *handle,
                  NTSTATUS *returned, IO_STATUS_BLOCK *status, uint32_t *flags)
{
    size_t characters = bytes / sizeof(wchar_t), plain = kshs_plain_characters(path, characters);

    *returned = open_file(NULL, path, bytes, synchronous, handle, status);
    if (NT_SUCCESS(*returned) || !plain || !nt_is_wine() || context->state == STEP_ABANDONED)
        return true;                /* on Wine whatever fails does so before a driver is asked */
    *flags |= KSHS_REC_MADE;
    *returned = open_file(NULL, path, (uint32_t)(plain * sizeof(wchar_t)), synchronous, handle, status);
    return !NT_SUCCESS(*returned) ||
           open_make(context, IOCTL_KSHS_MAKE_FILTER, path + plain + 1,
                     (uint32_t)((characters - plain - 1) * sizeof(wchar_t)), handle, returned, status);
}

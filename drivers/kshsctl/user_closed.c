/* SPDX-License-Identifier: Apache-2.0
 *
 * user_closed.c - handles that are closed, and used all the same.
 *
 * A closed handle is a number.  The object manager knows no object by it, until
 * it gives the number to another one; then a request would go there.  So the
 * number is one that comes late in the order in which numbers are given again,
 * and every use of it looks before and after whether it still is nobody's.
 */
#include "user.h"

#define DECOYS 16                   /* other numbers of the object, free at the same time */

/*
 * Of several handles to one object the one with the highest number is closed
 * first and the one with the lowest last.  Whoever gives the number last freed
 * first (NT) or the lowest free one (Wine) has all others to give before it.
 */
NTSTATUS handle_retire(HANDLE *handle)
{
    HANDLE all[1 + DECOYS];
    NTSTATUS status = STATUS_SUCCESS;
    unsigned count = 1, i, j;

    all[0] = *handle;
    for (i = 0; i < DECOYS; i++)
        if (DuplicateHandle(GetCurrentProcess(), *handle, GetCurrentProcess(), &all[count], 0, FALSE,
                            DUPLICATE_SAME_ACCESS))
            count++;
    for (i = 1; i < count; i++) {
        HANDLE moved = all[i];

        for (j = i; j > 0 && (ULONG_PTR)all[j - 1] < (ULONG_PTR)moved; j--)
            all[j] = all[j - 1];
        all[j] = moved;
    }
    *handle = all[0];
    for (i = 0; i < count; i++)
        status = NtClose(all[i]);
    return status;                  /* of the last one, with which the object was closed */
}

bool handle_taken(HANDLE handle)
{
    DWORD flags;

    return GetHandleInformation(handle, &flags);
}

bool closed_usable(step_context *context, const user_slot *slot)
{
    if (!slot->closed || !handle_taken(slot->handle))
        return true;
    step_unsupported(context, STATUS_NOT_SUPPORTED,
                     L"the number of the closed handle belongs to another object by now; nothing was sent");
    return false;
}

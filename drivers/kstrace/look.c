/* SPDX-License-Identifier: Apache-2.0
 *
 * look.c - memory of others, and who they are.
 *
 * A request's buffers may be anything.  Of user mode's, each byte is probed and
 * read once, in the caller's own process, under a handler.  Kernel addresses are
 * read only where the page is there: a handler does not help against those, and
 * a caller that hands over nonsense with a wrong length is refused by the drivers
 * below before they look at it.  Nothing is read above APC_LEVEL.
 */
#include "kstrace.h"

/* A documented routine that the WDK declares in headers of file systems only. */
NTSYSAPI PEPROCESS NTAPI IoGetRequestorProcess(PIRP Irp);

#define LARGEST 4096                    /* of one read */
#define WINE_FIRST 0x10000              /* where memory of a process of Wine can be */
#define WINE_LAST 0x7FFFFFFEFFFF

static const ULONG_PTR *highest_user;   /* MmHighestUserAddress; NULL on Wine */
static KPROCESSOR_MODE (NTAPI *previous_mode)(VOID);
static BOOLEAN (NTAPI *is_32bit)(PIRP irp);
static NTSTATUS (NTAPI *query_process)(HANDLE process, ULONG kind, PVOID data, ULONG size, PULONG needed);

void kst_look_init(void)
{
    query_process = (NTSTATUS (NTAPI *)(HANDLE, ULONG, PVOID, ULONG, PULONG))(ULONG_PTR)kshs_system_routine(
        L"ZwQueryInformationProcess");
    if (kshs_is_wine())
        return;                         /* ExGetPreviousMode may be a stub there, and 32-bit callers look like others */
    highest_user = kshs_system_routine(L"MmHighestUserAddress");
    previous_mode = (KPROCESSOR_MODE (NTAPI *)(VOID))(ULONG_PTR)kshs_system_routine(L"ExGetPreviousMode");
    is_32bit = (BOOLEAN (NTAPI *)(PIRP))(ULONG_PTR)kshs_system_routine(L"IoIs32bitProcess");
}

static BOOLEAN is_user_address(ULONG_PTR address)
{
    return highest_user && address <= *highest_user;
}

static BOOLEAN is_resident(ULONG_PTR address, ULONG bytes)
{
    ULONG_PTR last = address + bytes - 1;

    return MmIsAddressValid((PVOID)address) &&
           ((address ^ last) < PAGE_SIZE || MmIsAddressValid((PVOID)last));
}

BOOLEAN kst_read(PVOID to, const VOID *from, ULONG bytes, KPROCESSOR_MODE mode)
{
    ULONG_PTR address = (ULONG_PTR)from;
    BOOLEAN wine = kshs_is_wine();
    BOOLEAN user = !wine && (mode != KernelMode || is_user_address(address));
    BOOLEAN done = FALSE;

    if (!from || !bytes || bytes > LARGEST || address + bytes < address || kshs_current_irql() > APC_LEVEL)
        return FALSE;
    if (!user && !wine && !is_resident(address, bytes))
        return FALSE;                   /* on Wine all memory is a process's, and the handler helps */
    __try {
        if (user)
            ProbeForRead((PVOID)address, bytes, 1);
        RtlCopyMemory(to, from, bytes);
        done = TRUE;
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        done = FALSE;
    }
    return done;
}

/* A driver above may have sent the IRP on from another process. */
BOOLEAN kst_is_callers(PIRP irp)
{
    if (irp->RequestorMode == KernelMode || kshs_is_wine())
        return TRUE;
    return irp->Tail.Overlay.Thread && IoGetRequestorProcess(irp) == IoGetCurrentProcess();
}

BOOLEAN kst_is_kernel_memory(uint64_t address)
{
    if (address != (uint64_t)(ULONG_PTR)address || is_user_address((ULONG_PTR)address))
        return FALSE;
    /* Wine finds out by a fault that it handles, which takes longer than all the rest. */
    if (address < WINE_FIRST || (kshs_is_wine() && address > WINE_LAST))
        return FALSE;
    return kshs_current_irql() <= APC_LEVEL && MmIsAddressValid((PVOID)(ULONG_PTR)address);
}

ULONG kst_process_name(PVOID to, ULONG room)
{
    struct {
        UNICODE_STRING path;
        WCHAR text[264];
    } image;
    ULONG needed = 0, length, begin;

    if (!query_process || kshs_current_irql() != PASSIVE_LEVEL)
        return 0;
    if (!NT_SUCCESS(query_process((HANDLE)(LONG_PTR)-1, 27, &image, sizeof image, &needed)))    /* ProcessImageFileName */
        return 0;
    length = image.path.Buffer ? image.path.Length / sizeof(WCHAR) : 0;
    for (begin = length; begin && image.path.Buffer[begin - 1] != '\\'; begin--)
        ;
    length = (length - begin) * (ULONG)sizeof(WCHAR);
    if (length > room)
        length = room;
    RtlCopyMemory(to, image.path.Buffer + begin, length);
    return length;
}

/* Who sent it; IRP is NULL for fast I/O, which is the caller's own thread. */
void kst_caller(kstrace_record *record, PIRP irp)
{
    record->process = (uint32_t)(ULONG_PTR)PsGetCurrentProcessId();
    record->thread = (uint32_t)(ULONG_PTR)PsGetCurrentThreadId();
    record->irql = kshs_current_irql();
    record->requestor = irp ? (uint8_t)irp->RequestorMode : 0;
    record->previous = 0;
    record->irp_flags = irp ? irp->Flags : 0;
    if (previous_mode) {
        record->previous = (uint8_t)previous_mode();
        record->flags |= KSTRACE_PREVIOUS_KNOWN;
        if (!irp)
            record->requestor = record->previous;
    }
    if (is_32bit) {
        record->flags |= KSTRACE_BITS_KNOWN;
        /* Of an IRP without a thread it is the caller that counts, who runs now. */
        if (is_32bit(irp && irp->Tail.Overlay.Thread ? irp : NULL))
            record->flags |= KSTRACE_BITS32;
    }
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * taken.c - what a driver's answer points at.
 *
 * Nothing here is believed.  A pointer is read only where there is memory, and a
 * function called only where it lies in the image of a driver of the device (or
 * the target's file says that it need not).  On Wine a fault inside the function
 * is caught; NT stops on a bad kernel address whoever is above it.
 */
#include "made.h"

#define REFERENCE_INDEX 0
#define DEREFERENCE_INDEX 1

/* FALSE: there is no memory, or not that much. */
BOOLEAN ksc_guarded_copy(void *to, const void *from, SIZE_T length)
{
    const ULONG_PTR first = (ULONG_PTR)from, last = first + length - 1;
    ULONG_PTR page;
    NTSTATUS status = STATUS_SUCCESS;

    if (!length || last < first)
        return FALSE;
    /* Kernel addresses that are nobody's cannot be caught on NT; they have to be asked about first. */
    for (page = first & ~((ULONG_PTR)PAGE_SIZE - 1); page <= last; page += PAGE_SIZE) {
        if (!MmIsAddressValid((PVOID)(page < first ? first : page)))
            return FALSE;
        if (page + PAGE_SIZE < page)
            break;
    }
    __try {
        RtlCopyMemory(to, from, length);
    } __except (status = (NTSTATUS)GetExceptionCode(), EXCEPTION_EXECUTE_HANDLER) {
    }
    return NT_SUCCESS(status);
}

/* The images of all drivers of the stack that a file object belongs to. */
static void find_images(ksc_made *made, PFILE_OBJECT file)
{
    PDEVICE_OBJECT device;
    ULONG count = 0;

    for (device = file->DeviceObject; device && count < KSC_IMAGES; device = device->AttachedDevice) {
        const DRIVER_OBJECT *driver = device->DriverObject;

        if (!driver || !driver->DriverStart || !driver->DriverSize)
            continue;
        made->images[count].start = (ULONG_PTR)driver->DriverStart;
        made->images[count].end = (ULONG_PTR)driver->DriverStart + driver->DriverSize;
        count++;
    }
    made->image_count = count;
}

static BOOLEAN is_inside(const ksc_made *made, ULONG_PTR address)
{
    ULONG i;

    for (i = 0; i < made->image_count; i++)
        if (address >= made->images[i].start && address < made->images[i].end)
            return TRUE;
    return FALSE;
}

/* Its structure as it is now, as much of it as there may be. */
static BOOLEAN read_interface(const ksc_made *made, ksc_interface *given)
{
    RtlZeroMemory(given, sizeof *given);
    return ksc_guarded_copy(given, made->taken, KSC_INTERFACE_SIZE(made->make.functions));
}

static ULONG_PTR function_of(const ksc_interface *given, uint32_t index)
{
    if (index == REFERENCE_INDEX)
        return (ULONG_PTR)given->InterfaceReference;
    if (index == DEREFERENCE_INDEX)
        return (ULONG_PTR)given->InterfaceDereference;
    return (ULONG_PTR)given->Functions[index - DEREFERENCE_INDEX - 1];
}

static BOOLEAN may_be_paged_out(const void *pointer)
{
    return !kshs_is_wine() && (LONG_PTR)pointer < 0;        /* the kernel's half */
}

void ksc_taken_look(ksc_made *made, kshs_made *report, uint8_t *bytes, uint32_t room)
{
    ksc_interface given;
    uint32_t i;

    report->address = (uint64_t)(ULONG_PTR)made->taken;
    if (!made->counts.sent)
        return;
    report->flags |= KSHS_LOOK_PRESENT | (made->image_count ? KSHS_LOOK_IMAGE : 0);
    if (made->kind == KSHS_MADE_TAKEN_POINTER) {
        uint32_t length = made->make.length < room ? made->make.length : room;

        if (made->taken && ksc_guarded_copy(bytes, made->taken, length))
            report->flags |= KSHS_LOOK_READABLE;
        else if (may_be_paged_out(made->taken))
            report->flags |= KSHS_LOOK_UNSURE;
        return;
    }
    if (!read_interface(made, &given)) {
        if (may_be_paged_out(made->taken))
            report->flags |= KSHS_LOOK_UNSURE;
        return;
    }
    report->flags |= KSHS_LOOK_READABLE;
    report->size = given.Size;
    report->version = given.Version;
    report->context = (uint64_t)(ULONG_PTR)given.Context;
    for (i = 0; i < made->make.functions + 2 && is_inside(made, function_of(&given, i)); i++)
        ;
    if (i == made->make.functions + 2)
        report->flags |= KSHS_LOOK_INSIDE;
    else
        report->outside = i;
}

static NTSTATUS call(VOID (NTAPI *routine)(PVOID), PVOID context)
{
    NTSTATUS status = STATUS_SUCCESS;

    __try {
        routine(context);
    } __except (status = (NTSTATUS)GetExceptionCode(), EXCEPTION_EXECUTE_HANDLER) {
    }
    return NT_SUCCESS(status) && status != STATUS_SUCCESS ? STATUS_UNSUCCESSFUL : status;
}

NTSTATUS ksc_taken_call(ksc_made *made, BOOLEAN dereference)
{
    ksc_interface given;
    ULONG_PTR routine;
    NTSTATUS status;
    KIRQL irql;

    if (!made->counts.sent)
        return STATUS_SUCCESS;              /* nothing came, and there is nothing to be given back */
    if (!read_interface(made, &given))
        return STATUS_INVALID_ADDRESS;
    routine = function_of(&given, dereference ? DEREFERENCE_INDEX : REFERENCE_INDEX);
    if (!routine || (!(made->make.flags & KSHS_MAKE_ELSEWHERE) && made->image_count && !is_inside(made, routine)))
        return STATUS_INVALID_ADDRESS;
    status = call(dereference ? given.InterfaceDereference : given.InterfaceReference, given.Context);
    irql = kshs_current_irql();
    if (irql != PASSIVE_LEVEL)
        KeLowerIrql(PASSIVE_LEVEL);
    if (!NT_SUCCESS(status))
        return status;
    if (!dereference) {
        made->counts.references++;
        made->counts.held++;
    } else {
        made->counts.dereferences++;
        if (made->counts.held)
            made->counts.held--;
    }
    return STATUS_SUCCESS;
}

/* The answer of an earlier request is given back, where the target's file says that it is the client's. */
void ksc_taken_put(ksc_made *made, PVOID pointer, PFILE_OBJECT file)
{
    ksc_taken_give_back(made);
    made->taken = pointer;
    made->counts.held = 0;
    made->counts.sent++;
    find_images(made, file);
    if (made->kind == KSHS_MADE_TAKEN_INTERFACE && (made->make.flags & KSHS_MAKE_GIVEN))
        made->counts.held = 1;
}

void ksc_taken_give_back(ksc_made *made)
{
    if (made->kind != KSHS_MADE_TAKEN_INTERFACE)
        return;
    while (made->counts.held)
        if (!NT_SUCCESS(ksc_taken_call(made, TRUE)))
            return;
}

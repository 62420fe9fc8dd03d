/* SPDX-License-Identifier: Apache-2.0
 *
 * kshs_irp.h - the end of an IRP that we allocated ourselves.
 *
 * A completion routine that keeps an IRP stops the I/O manager on its way up
 * through the stack locations, so the IRP may look as if a driver still had
 * it.  IoFreeIrp of a checked kernel, and Driver Verifier on any, stop the
 * system for that.  Include it after kshs_compat.h.
 */
#ifndef KSHS_IRP_H
#define KSHS_IRP_H

/* What IoFreeIrp demands of an IRP: nobody's thread lists it, and no driver seems to have it. */
static inline BOOLEAN kshs_irp_is_idle(const IRP *irp)
{
    return irp->Type == IO_TYPE_IRP && IsListEmpty(&irp->ThreadListEntry) && irp->CurrentLocation >= irp->StackCount &&
           !irp->CancelRoutine;
}

/* The one way in which our drivers free an IRP of their own, sent or not; it must be theirs again.  One that
 * cannot be freed is left behind: FALSE. */
static inline BOOLEAN kshs_irp_free(PIRP irp)
{
    (void)IoSetCancelRoutine(irp, NULL);
    if (irp->Type == IO_TYPE_IRP && IsListEmpty(&irp->ThreadListEntry))
        IoReuseIrp(irp, STATUS_SUCCESS);
    if (!kshs_irp_is_idle(irp)) {
        DbgPrint("kshs: IRP %p looks in flight and is not freed\n", irp);
        return FALSE;
    }
    IoFreeIrp(irp);
    return TRUE;
}

#endif

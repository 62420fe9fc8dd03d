/* SPDX-License-Identifier: Apache-2.0
 *
 * handshake.c - IOCTL_KS_HANDSHAKE, the rules H1 to H10 of docs/contract.md.
 *
 * What the contract leaves open is decided here, and listed in docs/refks.md:
 * a user-mode request is refused before anything else about it is looked at;
 * then comes the kind of object, then the lengths, then the buffers.
 */
#include "refks.h"

/* The pin is entered by the caller, and no lock is held: AVStream's documented list of routines that run
 * under the filter control mutex does not have the handshake, so two handshakes of a pin may overlap.
 *
 * Not inside a __try: a fault of the callback is the minidriver's, and must be seen as one. */
static NTSTATUS CallBack(REFKS_PIN *Pin, const KSHANDSHAKE *In, KSHANDSHAKE *Out)
{
    PFNKSPINHANDSHAKE callback = Pin->Handshake;
    KSHANDSHAKE in = *In;
    NTSTATUS status;

    RtlZeroMemory(Out, sizeof(*Out));
    if (!callback)
        return STATUS_INVALID_DEVICE_REQUEST;
    status = callback(&Pin->Public, &in, Out);
    /* A callback has no IRP that it could complete later: pending is no answer. */
    return kshs_final_status(status);
}

/* The object is entered by the caller, who completes the IRP. */
NTSTATUS RefksHandshake(REFKS_HEADER *Header, PIRP Irp, ULONG_PTR *Information)
{
    PIO_STACK_LOCATION stack = IoGetCurrentIrpStackLocation(Irp);
    KSHANDSHAKE in, out;
    NTSTATUS status;

    *Information = 0;
    if (Irp->RequestorMode != KernelMode)                       /* H5 */
        return STATUS_INVALID_DEVICE_REQUEST;
    if (Header->Type != KsObjectTypePin)
        return STATUS_INVALID_DEVICE_REQUEST;
    if (stack->Parameters.DeviceIoControl.InputBufferLength != sizeof(KSHANDSHAKE) ||
        stack->Parameters.DeviceIoControl.OutputBufferLength != sizeof(KSHANDSHAKE))
        return STATUS_INVALID_BUFFER_SIZE;                      /* H4 */
    status = RefksCaptureIn(&in, stack->Parameters.DeviceIoControl.Type3InputBuffer, sizeof(in), KernelMode);
    if (!NT_SUCCESS(status))
        return status;
    status = CallBack(CONTAINING_RECORD(Header, REFKS_PIN, Header), &in, &out);
    if (NT_SUCCESS(status)) {
        NTSTATUS delivered = RefksDeliverOut(Irp->UserBuffer, &out, sizeof(out));

        if (!NT_SUCCESS(delivered))
            return delivered;
        *Information = sizeof(KSHANDSHAKE);                     /* H6 */
    }
    return status;
}

void NTAPI KsPinRegisterHandshakeCallback(PKSPIN Pin, PFNKSPINHANDSHAKE Handshake)
{
    REFKS_PIN_OF(Pin)->Handshake = Handshake;
}

/* From the sink's end: the source is not ours to reference, so its callback is called without an IRP. */
static NTSTATUS HandshakeWithPeer(REFKS_PIN *Pin, PKSHANDSHAKE In, PKSHANDSHAKE Out)
{
    REFKS_PIN *peer;
    KSHANDSHAKE out;
    NTSTATUS status;
    KIRQL irql;

    KeAcquireSpinLock(&RefksLock, &irql);
    peer = Pin->Peer;
    if (peer && !RefksEnter(&peer->Header))
        peer = NULL;
    KeReleaseSpinLock(&RefksLock, irql);
    if (!peer)
        return STATUS_INVALID_DEVICE_STATE;
    status = CallBack(peer, In, &out);
    RefksLeave(&peer->Header);
    if (NT_SUCCESS(status))
        *Out = out;
    return status;
}

NTSTATUS NTAPI KsPinHandshake(PKSPIN Pin, PKSHANDSHAKE In, PKSHANDSHAKE Out)
{
    REFKS_PIN *pin = REFKS_PIN_OF(Pin);
    ULONG returned = 0;

    if (!In || !Out)
        return STATUS_INVALID_PARAMETER;
    if (!pin->ConnectedFile)
        return HandshakeWithPeer(pin, In, Out);
    return KsSynchronousIoControlDevice(pin->ConnectedFile, KernelMode, IOCTL_KS_HANDSHAKE, In, sizeof(*In), Out,
                                        sizeof(*Out), &returned);
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * avshs.h - the sample target: an AVStream minidriver whose pins answer
 * IOCTL_KS_HANDSHAKE as they were told to at run time.
 *
 * Three concerns, a file each: avshs.c tells the class driver what the device
 * is, seen.c knows which pins exist and what their callbacks saw, behaviour.c
 * is the callback, properties.c is the property set by which scenarios talk
 * to all of it.  docs/avshs.md is the users' view.
 */
#ifndef AVSHS_H
#define AVSHS_H

#include "kshs_compat.h"

#include <ks.h>

#ifdef __clang__
/* ks.h's GUID initialisers are flat; clang alone objects. */
#pragma clang diagnostic ignored "-Wmissing-braces"
#endif

#define AVSHS_POOL_TAG KSHS_TAG('A', 'v', 'h', 's')
#define AVSHS_INSTANCES_POSSIBLE 32

/* The GUIDs of kshs_abi.h in the shape that ks.h's STATICGUIDOF() wants. */
#define STATIC_KSPROPSETID_Kshs \
    0x6B2F7A10, 0x52D3, 0x4C0E, 0x9E, 0x1B, 0x0B, 0x9C, 0x1B, 0x7D, 0x5A, 0x01
#define STATIC_KSCATEGORY_KSHS \
    0x6B2F7A11, 0x52D3, 0x4C0E, 0x9E, 0x1B, 0x0B, 0x9C, 0x1B, 0x7D, 0x5A, 0x01
#define STATIC_KSHS_PROTOCOL_A \
    0x6B2F7A12, 0x52D3, 0x4C0E, 0x9E, 0x1B, 0x0B, 0x9C, 0x1B, 0x7D, 0x5A, 0x01
#define STATIC_KSHS_PROTOCOL_B \
    0x6B2F7A13, 0x52D3, 0x4C0E, 0x9E, 0x1B, 0x0B, 0x9C, 0x1B, 0x7D, 0x5A, 0x01
#define STATIC_KSHS_FORMAT_TYPE \
    0x6B2F7A14, 0x52D3, 0x4C0E, 0x9E, 0x1B, 0x0B, 0x9C, 0x1B, 0x7D, 0x5A, 0x01
#define STATIC_KSHS_FORMAT_SUBTYPE \
    0x6B2F7A15, 0x52D3, 0x4C0E, 0x9E, 0x1B, 0x0B, 0x9C, 0x1B, 0x7D, 0x5A, 0x01

/* The pin that accepts KSHS_PROTOCOL_B as well. */
#define AVSHS_PIN_OF_PROTOCOL_B 2

/* One run of a handshake callback, on its stack. */
typedef struct AVSHS_CALL {
    PKSPIN pin;
    ULONG pin_id;
    ULONG epoch;                /* RESETs of the pin id when the call began */
    uint64_t instance;          /* number of the pin instance, 0: it was closed already */
    kshs_behaviour behaviour;   /* in force when the call began */
    BOOLEAN shared;             /* what was written to Out has changed In */
} AVSHS_CALL;

/* ---- seen.c: which pins exist, and what their callbacks saw ---------------- */

void AvshsSeenInitialize(void);

/* Remembers a new instance of a pin, in Pin->Context too.  Says whether it is to register a callback. */
NTSTATUS AvshsSeenOpened(PKSPIN Pin, BOOLEAN *RegisterCallback);
void AvshsSeenClosed(PKSPIN Pin);

/* Bracket one callback.  Begin fails only for a pin that this driver never had. */
NTSTATUS AvshsSeenBegin(PKSPIN Pin, const KSHANDSHAKE *In, const KSHANDSHAKE *Out, AVSHS_CALL *Call);
void AvshsSeenEnd(const AVSHS_CALL *Call, NTSTATUS Returned);

/* STATUS_INVALID_PARAMETER for a pin id or a behaviour that does not exist. */
NTSTATUS AvshsSeenRead(ULONG PinId, kshs_seen *Seen);
NTSTATUS AvshsSetBehaviour(const kshs_behaviour *Behaviour);
NTSTATUS AvshsReset(ULONG PinId);

/* Bracket one change of a pin's state.  Begin answers the milliseconds that it is to take now, and what
 * it is to return. */
ULONG AvshsStateBegin(ULONG PinId, ULONG *Epoch, NTSTATUS *Status);
void AvshsStateEnd(ULONG PinId, ULONG Epoch);

/* ---- behaviour.c: the callback ---------------------------------------------- */

void AvshsBlockInitialize(void);

/* Returns after a release, or after DelayMs milliseconds (0: no limit). */
void AvshsBlockWait(ULONG PinId, ULONG DelayMs);

/* Lets one BLOCK callback or slow change of state of the pin id go on, or the next one if none waits. */
void AvshsBlockRelease(ULONG PinId);

/* Lets all that wait now return, and forgets releases that nobody took. */
void AvshsBlockReleaseAll(ULONG PinId);

NTSTATUS AvshsPinHandshake(PKSPIN Pin, PKSHANDSHAKE In, PKSHANDSHAKE Out);

/* ---- properties.c ------------------------------------------------------------ */

extern const KSAUTOMATION_TABLE AvshsFilterAutomation;
extern const KSAUTOMATION_TABLE AvshsPinAutomation;

#endif

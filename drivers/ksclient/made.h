/* SPDX-License-Identifier: Apache-2.0
 *
 * made.h - what a handshake's arguments point at: blocks and interfaces of the
 * client's own (made), and what a driver gave in return (taken).
 *
 * A driver may keep a pointer, and call a function, for longer than it was
 * allowed to.  So what was made stays where it is when its context has done with
 * it, until many others have been made after it; what is still referenced stays
 * for good, and keeps the client loaded.
 */
#ifndef MADE_H
#define MADE_H

#include "ksclient.h"

/* INTERFACE of wdm.h, which is declared by the WDK alone, and further functions. */
typedef struct ksc_interface {
    USHORT Size;
    USHORT Version;
    PVOID Context;
    VOID (NTAPI *InterfaceReference)(PVOID Context);
    VOID (NTAPI *InterfaceDereference)(PVOID Context);
    ULONG_PTR (NTAPI *Functions[KSHS_MAX_FUNCTIONS])(PVOID Context);
} ksc_interface;

#define KSC_INTERFACE_SIZE(functions) (offsetof(ksc_interface, Functions) + (functions) * sizeof(PVOID))
#define KSC_IMAGES 8                /* drivers of one device stack that are looked at */

typedef struct ksc_image_range {
    ULONG_PTR start;
    ULONG_PTR end;
} ksc_image_range;

struct ksc_made {
    LIST_ENTRY link;                /* of all there are, as long as somebody could call them */
    LONG references;                /* of the context's table and of requests; under the lock, as are all counts */
    uint32_t kind;
    kshs_make make;
    BOOLEAN forgotten;              /* its context has done with it */
    BOOLEAN vanished;
    ksc_buffer memory;              /* made */
    uint32_t in_flight;             /* requests that carry it just now */
    uint32_t strangers_before;
    kshs_made counts;               /* held, references, ... : the rest is worked out when it is looked at */
    PVOID taken;                    /* taken */
    ULONG image_count;
    ksc_image_range images[KSC_IMAGES];
};

/* taken.c */
void ksc_taken_look(ksc_made *made, kshs_made *report, uint8_t *bytes, uint32_t room);
NTSTATUS ksc_taken_call(ksc_made *made, BOOLEAN dereference);       /* PASSIVE_LEVEL */
void ksc_taken_put(ksc_made *made, PVOID pointer, PFILE_OBJECT file);
void ksc_taken_give_back(ksc_made *made);           /* every reference that is left */
BOOLEAN ksc_guarded_copy(void *to, const void *from, SIZE_T length);

#endif

/* SPDX-License-Identifier: Apache-2.0
 *
 * verifier.h - what verifier.exe says of Driver Verifier; see verifier.c.
 */
#ifndef KSHSCTL_VERIFIER_H
#define KSHSCTL_VERIFIER_H

#include "kshsctl.h"

#define VERIFIER_MOST_DRIVERS 64
#define VERIFIER_NAME_LENGTH 64

typedef struct verifier_drivers {
    unsigned count;
    struct {
        char name[VERIFIER_NAME_LENGTH];    /* lower case */
        int loads, unloads;                 /* since it is watched; -1: not said */
    } driver[VERIFIER_MOST_DRIVERS];
} verifier_drivers;

typedef struct verifier_facts {
    bool flags_found;
    bool too_many;                          /* more drivers, or longer names, than there is room for */
    uint64_t flags;
    verifier_drivers drivers;
} verifier_facts;

/* Reads the output of /querysettings or /query, of any system; TEXT is written to. */
void verifier_read(uint8_t *text, size_t length, verifier_facts *facts);

/* What verifier.exe answers to OPTION; Win32 code. */
DWORD verifier_ask(const wchar_t *option, verifier_facts *facts);

/* An object of flags and drivers, null if the system's verifier.exe does not say it. */
void json_verifier(json *j, const char *key, const wchar_t *option);

#endif

/* SPDX-License-Identifier: Apache-2.0
 *
 * small_verbs.c - abi and hold.
 */
#include "kshsctl.h"

int verb_abi(int count, wchar_t **arguments)
{
    json j;

    (void)count;
    (void)arguments;
    json_start(&j, JSON_MAX_BYTES);
    json_object(&j, NULL);
    json_unsigned(&j, "abi", KSHS_ABI_VERSION);
    json_unsigned(&j, "pointer_size", sizeof(void *));
    json_unsigned(&j, "handshake_size", HANDSHAKE_SIZE);
    json_utf8(&j, "layout", abi_layout_text());
    return json_print(&j) ? EXIT_DONE : EXIT_FAILED;
}

/*
 * Wine ends demand-started drivers a few seconds after its last user process:
 * this one does nothing but exist.
 */
int verb_hold(int count, wchar_t **arguments)
{
    char unread[256];
    DWORD got;
    json j;

    (void)count;
    (void)arguments;
    json_start(&j, JSON_MAX_BYTES);
    json_object(&j, NULL);
    json_unsigned(&j, "holding", GetCurrentProcessId());
    if (!json_print(&j))
        return EXIT_FAILED;
    while (ReadFile(GetStdHandle(STD_INPUT_HANDLE), unread, sizeof(unread), &got, NULL) && got)
        ;
    return EXIT_DONE;
}

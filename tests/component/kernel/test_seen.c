/* SPDX-License-Identifier: Apache-2.0
 *
 * test_seen.c - avshs/seen.c: what a caller hands over may be paged out, and is not touched at a raised IRQL.
 */
#include "avshs.h"
#include "kernel.h"

void AvshsBlockReleaseAll(ULONG PinId)
{
    (void)PinId;
}

int wmain(int count, wchar_t **arguments)
{
    static KSPIN pin;
    kshs_seen *seen;
    kshs_behaviour *behaviour;
    KSHANDSHAKE *in;
    AVSHS_CALL call;
    BOOLEAN registers = FALSE;

    (void)count;
    (void)arguments;
    kernel_start(FALSE);
    in = (KSHANDSHAKE *)kernel_user;
    behaviour = (kshs_behaviour *)(kernel_user + 512);
    seen = (kshs_seen *)(kernel_user + 1024);
    in->Argument1 = (PVOID)7;
    behaviour->kind = KSHS_BEHAVE_ECHO;
    AvshsSeenInitialize();
    kernel_check(NT_SUCCESS(AvshsSeenOpened(&pin, &registers)) && registers, "the pin is not remembered");
    kernel_check(NT_SUCCESS(AvshsSetBehaviour(behaviour)), "the behaviour is refused");
    kernel_check(NT_SUCCESS(AvshsSeenBegin(&pin, in, in + 1, &call)), "the callback is refused");
    AvshsSeenEnd(&call, STATUS_SUCCESS);
    kernel_check(NT_SUCCESS(AvshsSeenRead(0, seen)), "what was seen is not told");
    kernel_check(seen->request.argument1 == 7 && seen->count == 1 && seen->finished == 1, "what was seen is wrong");
    kernel_check(call.behaviour.kind == KSHS_BEHAVE_ECHO, "the behaviour is another one");
    AvshsSeenClosed(&pin);
    return kernel_end();
}

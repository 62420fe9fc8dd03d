/* SPDX-License-Identifier: Apache-2.0
 *
 * batches.c - an opener of the client that sends batches as no agent would, for test_batches.py, which builds it.
 * It prints a line for each: a name, and numbers in hex.
 */
#define WIN32_LEAN_AND_MEAN
#define WIN32_NO_STATUS
#include <windows.h>
#undef WIN32_NO_STATUS
#include <winternl.h>
#include <ntstatus.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include "kshs_abi.h"

#define WAIT_MS 10000
#define NAME L"KsHs-batches"

static HANDLE client, bell, done, served;
static uint8_t *block;
static IO_STATUS_BLOCK serving;
static kshs_record returned;

static HANDLE open_client(void)
{
    return CreateFileW(L"\\\\.\\KsHsClient", GENERIC_READ | GENERIC_WRITE, FILE_SHARE_READ | FILE_SHARE_WRITE, NULL,
                       OPEN_EXISTING, FILE_FLAG_OVERLAPPED, NULL);
}

static NTSTATUS control(uint32_t code, const void *in, uint32_t in_bytes, void *out, uint32_t out_bytes)
{
    HANDLE event = CreateEventW(NULL, TRUE, FALSE, NULL);
    IO_STATUS_BLOCK status;
    NTSTATUS result = NtDeviceIoControlFile(client, event, NULL, NULL, &status, code, (void *)(uintptr_t)in, in_bytes,
                                            out, out_bytes);

    if (result == STATUS_PENDING) {
        if (WaitForSingleObject(event, WAIT_MS) != WAIT_OBJECT_0)
            ExitProcess(9);
        result = status.Status;
    }
    CloseHandle(event);
    return result;
}

static void say(const char *name, NTSTATUS status)
{
    printf("%s %08lx\n", name, (unsigned long)status);
}

static NTSTATUS share(const wchar_t *name)
{
    return control(IOCTL_KSHS_BLOCK, name, (uint32_t)(wcslen(name) * sizeof(wchar_t)), NULL, 0);
}

static HANDLE section(const wchar_t *name, uint32_t bytes)
{
    return CreateFileMappingW(INVALID_HANDLE_VALUE, NULL, PAGE_READWRITE, 0, bytes, name);
}

static NTSTATUS serve(void)
{
    return NtDeviceIoControlFile(client, served, NULL, NULL, &serving, IOCTL_KSHS_BATCH, NULL, 0, &returned,
                                 sizeof(returned));
}

/* ---- blocks --------------------------------------------------------------------------------- */

static void try_blocks(void)
{
    static wchar_t longest[400];
    HANDLE small = section(L"Global\\" NAME L"-small", 4096);
    size_t i;

    for (i = 0; i < 399; i++)
        longest[i] = 'x';
    say("batch-without-block", control(IOCTL_KSHS_BATCH, NULL, 0, &returned, sizeof(returned)));
    say("block-no-name", share(L""));
    say("block-odd-name", control(IOCTL_KSHS_BLOCK, NAME, 3, NULL, 0));
    say("block-long-name", share(longest));
    say("block-nobody", share(L"\\BaseNamedObjects\\" NAME L"-nobody"));
    say("block-small", share(L"\\BaseNamedObjects\\" NAME L"-small"));
    CloseHandle(small);
    block = MapViewOfFile(section(L"Global\\" NAME, KSHS_BLOCK_BYTES), FILE_MAP_ALL_ACCESS, 0, 0, KSHS_BLOCK_BYTES);
    say("block-no-events", share(L"\\BaseNamedObjects\\" NAME));
    bell = CreateEventW(NULL, FALSE, FALSE, L"Global\\" NAME L"-bell");
    done = CreateEventW(NULL, FALSE, FALSE, L"Global\\" NAME L"-done");
    served = CreateEventW(NULL, TRUE, FALSE, NULL);
    say("block", share(L"\\BaseNamedObjects\\" NAME));
    say("block-twice", share(L"\\BaseNamedObjects\\" NAME));
    say("batch-short-answer", control(IOCTL_KSHS_BATCH, NULL, 0, &returned, sizeof(returned) - 1));
}

/* ---- batches --------------------------------------------------------------------------------- */

static kshs_batch *head(void)
{
    return (kshs_batch *)(block + KSHS_BLOCK_QUESTION);
}

static kshs_batch_entry *entries(void)
{
    return (kshs_batch_entry *)(head() + 1);
}

static kshs_step *step(unsigned number)
{
    return (kshs_step *)((uint8_t *)head() + entries()[number].step_offset);
}

/* Two NOPs, as an agent would write them. */
static void two_steps(void)
{
    uint32_t from = sizeof(kshs_batch) + 2 * sizeof(kshs_batch_entry), i;

    memset(block, 0, KSHS_BLOCK_BYTES);
    head()->size = from + 2 * sizeof(kshs_step);
    head()->count = 2;
    for (i = 0; i < 2; i++) {
        entries()[i].step_offset = from + i * (uint32_t)sizeof(kshs_step);
        entries()[i].step_bytes = sizeof(kshs_step);
        entries()[i].answer_offset = KSHS_BLOCK_ANSWERS + i * 512;
        entries()[i].answer_bytes = 512;
        step(i)->size = sizeof(kshs_step);
        step(i)->op = KSHS_OP_NOP;
    }
}

static void ring(const char *name)
{
    const kshs_marks *marks = (const kshs_marks *)block;
    const kshs_record *first = (const kshs_record *)(block + KSHS_BLOCK_ANSWERS);
    const kshs_record *second = (const kshs_record *)(block + KSHS_BLOCK_ANSWERS + 512);

    SetEvent(bell);
    if (WaitForSingleObject(done, WAIT_MS) != WAIT_OBJECT_0)
        ExitProcess(8);
    printf("%s refused %08lx begun %lu ended %lu first %lu %08lx second %lu %08lx\n", name,
           (unsigned long)marks->refused, (unsigned long)marks->begun, (unsigned long)marks->ended,
           (unsigned long)first->outcome, (unsigned long)first->detail, (unsigned long)second->outcome,
           (unsigned long)second->detail);
}

#define MALFORMED(name, change) (two_steps(), (change), ring("bad-" name))

static void try_batches(void)
{
    MALFORMED("size-0", head()->size = 0);
    MALFORMED("size-huge", head()->size = 0xFFFFFFFF);
    MALFORMED("size-over", head()->size = KSHS_BATCH_BYTES + 8);
    MALFORMED("count-0", head()->count = 0);
    MALFORMED("count-65", head()->count = KSHS_BATCH_STEPS + 1);
    MALFORMED("count-huge", head()->count = 0xFFFFFFFF);
    MALFORMED("entries-cut", head()->size = sizeof(kshs_batch) + 8);
    MALFORMED("flags", head()->flags = 0x80);
    MALFORMED("reserved", head()->reserved = 1);
    MALFORMED("step-odd", entries()[1].step_offset += 4);
    MALFORMED("step-in-entries", entries()[0].step_offset = sizeof(kshs_batch));
    MALFORMED("step-behind", entries()[1].step_offset = head()->size);
    MALFORMED("step-far", entries()[1].step_offset = 0xFFFFFFF8);
    MALFORMED("step-short", entries()[1].step_bytes -= 8);
    MALFORMED("step-long", entries()[1].step_bytes += 8);
    MALFORMED("step-endless", entries()[1].step_bytes = 0xFFFFFFF8);
    MALFORMED("answer-odd", entries()[1].answer_offset += 4);
    MALFORMED("answer-in-marks", entries()[0].answer_offset = 0);
    MALFORMED("answer-in-question", entries()[0].answer_offset = KSHS_BLOCK_QUESTION);
    MALFORMED("answer-behind", entries()[1].answer_offset = KSHS_BLOCK_BYTES - 8);
    MALFORMED("answer-far", entries()[1].answer_offset = 0xFFFFFFF8);
    MALFORMED("answer-short", entries()[1].answer_bytes = sizeof(kshs_record) - 8);
    MALFORMED("answer-endless", entries()[1].answer_bytes = 0xFFFFFFF8);
    MALFORMED("answers-overlap", entries()[1].answer_offset = KSHS_BLOCK_ANSWERS + 8);
    MALFORMED("answers-backwards",
              (entries()[0].answer_offset = KSHS_BLOCK_ANSWERS + 512, entries()[1].answer_offset = KSHS_BLOCK_ANSWERS));
    MALFORMED("entry-flags", entries()[1].flags = 2);
    MALFORMED("entry-reserved", entries()[1].reserved = 1);
    MALFORMED("no-room",
              (step(1)->op = KSHS_OP_WAIT, step(1)->token = 0, entries()[1].answer_bytes = sizeof(kshs_record)));
    two_steps();
    ring("good");
    two_steps();
    step(0)->size = 7;
    step(1)->op = KSHS_OP_SHARE;
    ring("senseless");
    two_steps();
    step(0)->op = KSHS_OP_RELEASE_ALL;
    step(0)->data_length = 8;
    step(1)->op = KSHS_OP_SLEEP;
    ring("senseless-too");
}

int wmain(void)
{
    client = open_client();
    if (client == INVALID_HANDLE_VALUE)
        return 7;
    try_blocks();
    say("serve", serve());
    say("serve-twice", control(IOCTL_KSHS_BATCH, NULL, 0, &returned, sizeof(returned)));
    try_batches();
    memset(head(), 0, sizeof(kshs_batch));
    head()->size = sizeof(kshs_batch);
    head()->flags = KSHS_BATCH_END;
    SetEvent(bell);
    if (WaitForSingleObject(served, WAIT_MS) != WAIT_OBJECT_0)
        return 6;
    say("end", serving.Status);
    say("serve-again", serve());
    two_steps();
    ring("good-again");
    return 0;           /* with a control under way, as an agent that was killed */
}

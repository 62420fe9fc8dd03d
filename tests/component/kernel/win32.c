/* SPDX-License-Identifier: Apache-2.0
 *
 * win32.c - see win32.h.
 */
#include <stdio.h>
#include <stdlib.h>
#include <windows.h>

#include "win32.h"

static const unsigned char *current;

/* mov r64, cr8: 44 or 45, 0F 20, then a byte whose lowest bits name the register. */
static DWORD64 *cr8_target(CONTEXT *context)
{
    const unsigned char *code = (const unsigned char *)context->Rip;

    if ((code[0] & 0xFE) != 0x44 || code[1] != 0x0F || code[2] != 0x20)
        return NULL;
    return (code[0] & 1 ? &context->R8 : &context->Rax) + (code[3] & 7);
}

static LONG CALLBACK handle(EXCEPTION_POINTERS *what)
{
    DWORD64 *target;

    if (what->ExceptionRecord->ExceptionCode != (DWORD)EXCEPTION_PRIV_INSTRUCTION)
        return EXCEPTION_CONTINUE_SEARCH;
    target = cr8_target(what->ContextRecord);
    if (!target)
        return EXCEPTION_CONTINUE_SEARCH;
    *target = *current;
    what->ContextRecord->Rip += 4;
    return EXCEPTION_CONTINUE_EXECUTION;
}

void win32_start(const unsigned char *irql)
{
    current = irql;
    AddVectoredExceptionHandler(1, handle);
}

void win32_write(const char *line)
{
    printf("%s\n", line);
    fflush(stdout);
}

void *win32_allocate(size_t bytes)
{
    void *memory = calloc(1, bytes);

    if (!memory)
        exit(3);
    return memory;
}

void win32_free(void *memory)
{
    free(memory);
}

void win32_protect(void *memory, size_t bytes, int accessible)
{
    DWORD before;

    if (!VirtualProtect(memory, bytes, accessible ? PAGE_READWRITE : PAGE_NOACCESS, &before))
        exit(3);
}

void win32_map_twice(size_t bytes, unsigned char **one, unsigned char **other)
{
    HANDLE section = CreateFileMappingW(INVALID_HANDLE_VALUE, NULL, PAGE_READWRITE, 0, (DWORD)bytes, NULL);

    *one = section ? MapViewOfFile(section, FILE_MAP_WRITE, 0, 0, bytes) : NULL;
    *other = section ? MapViewOfFile(section, FILE_MAP_WRITE, 0, 0, bytes) : NULL;
    if (!*one || !*other)
        exit(3);
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * crash_report.c - from a debug event to one line of JSON.
 */
#include "crash.h"
#include "modules.h"
#include "unwind.h"

#define MAX_LINE 60000              /* one line fits into the answer to KSHS_OP_CRASHES */
#define STACK_WORDS 512
#define MAX_FRAMES 24
#define MAX_UNWOUND 96              /* calls that are passed on the way to them */

bool crash_file(wchar_t *out, size_t count)
{
    wchar_t directory[MAX_PATH];

    if (!own_directory(directory, ARRAY_COUNT(directory)) || wcslen(directory) + 16 > count)
        return false;
    format_text(out, count, L"%ls\\crashes.jsonl", directory);
    return true;
}

/* Opened for appending only, a single write is not mixed with another process's. */
bool crash_append(json *line)
{
    wchar_t path[MAX_PATH];
    HANDLE file;
    bool done = false;
    DWORD written;

    while (line->depth)
        json_end(line);
    if (!line->failed && crash_file(path, ARRAY_COUNT(path))) {
        file = CreateFileW(path, FILE_APPEND_DATA | SYNCHRONIZE, FILE_SHARE_READ | FILE_SHARE_WRITE, NULL, OPEN_ALWAYS,
                           FILE_ATTRIBUTE_NORMAL, NULL);
        if (file != INVALID_HANDLE_VALUE) {
            line->text[line->length] = '\n';        /* the place of the NUL */
            done = WriteFile(file, line->text, (DWORD)line->length + 1, &written, NULL) &&
                   written == line->length + 1;
            FlushFileBuffers(file);
            CloseHandle(file);
        }
    }
    json_free(line);
    if (!done)
        say(L"kshsctl: the crash could not be written down");
    return done;
}

static HANDLE open_crash_file(void)
{
    wchar_t path[MAX_PATH];

    if (!crash_file(path, ARRAY_COUNT(path)))
        return INVALID_HANDLE_VALUE;
    return CreateFileW(path, GENERIC_READ, FILE_SHARE_READ | FILE_SHARE_WRITE, NULL, OPEN_EXISTING,
                       FILE_ATTRIBUTE_NORMAL, NULL);
}

LONGLONG crash_file_size(void)
{
    HANDLE file = open_crash_file();
    LARGE_INTEGER size;

    if (file == INVALID_HANDLE_VALUE)
        return 0;
    if (!GetFileSizeEx(file, &size))
        size.QuadPart = 0;
    CloseHandle(file);
    return size.QuadPart;
}

bool crash_known(DWORD pid, LONGLONG since)
{
    static char lines[MAX_LINE + 1];    /* what the last crashes left: an exception is among the first */
    HANDLE file = open_crash_file();
    LARGE_INTEGER where;
    char wanted[32];
    DWORD got = 0;

    if (file == INVALID_HANDLE_VALUE)
        return false;
    snprintf(wanted, sizeof(wanted), "\"pid\":%lu,", pid);
    where.QuadPart = since;
    if (!SetFilePointerEx(file, where, NULL, FILE_BEGIN) || !ReadFile(file, lines, MAX_LINE, &got, NULL))
        got = 0;
    CloseHandle(file);
    lines[got] = 0;
    return strstr(lines, wanted) != NULL;
}

static void json_time(json *j)
{
    SYSTEMTIME now;
    char text[40];

    GetSystemTime(&now);
    snprintf(text, sizeof(text), "%04u-%02u-%02uT%02u:%02u:%02u.%03uZ", now.wYear, now.wMonth, now.wDay, now.wHour,
             now.wMinute, now.wSecond, now.wMilliseconds);
    json_utf8(j, "time", text);
}

void crash_append_simple(DWORD pid, const wchar_t *process, const char *kind, DWORD code)
{
    json j;

    json_start(&j, MAX_LINE);
    json_object(&j, NULL);
    json_time(&j);
    json_utf8(&j, "kind", kind);
    json_unsigned(&j, "pid", pid);
    if (process)
        json_text(&j, "process", process);
    json_hex(&j, "code", code);
    crash_append(&j);
}

static ULONG_PTR stack_of(const CONTEXT *context)
{
#if defined(_M_X64) || defined(__x86_64__)
    return (ULONG_PTR)context->Rsp;
#else
    return context->Esp;
#endif
}

/* A frame in a driver; the first of them is of the driver whose call into the kernel or the heap faulted. */
static const module *write_frame(json *j, const module *m, ULONG_PTR address, unsigned *frames)
{
    if (!module_is_driver(m))
        return NULL;
    json_object(j, NULL);
    module_place(j, m, address);
    json_end(j);
    ++*frames;
    return m;
}

/* Where unwinding does not come to a driver: words on the stack that point into one, likely return addresses. */
static const module *write_words(json *j, HANDLE process, ULONG_PTR stack, const module_list *modules)
{
    static ULONG_PTR words[STACK_WORDS];
    const module *first = NULL;
    SIZE_T got = 0;
    unsigned i, frames = 0;

    /* The stack may end sooner than that: take what is there, page by page. */
    for (i = 0; i < sizeof(words) / 512; i++) {
        SIZE_T part = 0;

        if (!ReadProcessMemory(process, (const void *)(stack + got), (uint8_t *)words + got, 512, &part) || !part)
            break;
        got += part;
    }
    for (i = 0; i < got / sizeof(words[0]) && frames < MAX_FRAMES; i++) {
        const module *m = write_frame(j, modules_find(modules, words[i]), words[i], &frames);

        if (!first)
            first = m;
    }
    return first;
}

/* Frames in drivers above the innermost one.  NULL: none is a driver's; `context` is where unwinding ended. */
static const module *write_unwound(json *j, HANDLE process, CONTEXT *context, const module_list *modules)
{
    const module *first = NULL;
#if defined(_M_X64) || defined(__x86_64__)
    static unwound u;               /* too large for a stack */
    unsigned i, frames = 0;

    unwind_start(&u, process);
    for (i = 0; i < MAX_UNWOUND && frames < MAX_FRAMES && unwind_step(&u, modules, context); i++) {
        const module *m = modules_find(modules, (ULONG_PTR)context->Rip);

        m = write_frame(j, m, (ULONG_PTR)context->Rip, &frames);
        if (!first)
            first = m;
    }
#else
    (void)j;
    (void)process;
    (void)context;
    (void)modules;
#endif
    return first;
}

static const module *write_stack(json *j, HANDLE process, CONTEXT *context, const module_list *modules)
{
    const module *first;
    bool unwound;

    json_array(j, "stack");
    first = write_unwound(j, process, context, modules);
    unwound = first != NULL;
    if (!first)
        first = write_words(j, process, stack_of(context), modules);
    json_end(j);
    json_bool(j, "unwound", unwound);
    return first;
}

static void write_registers(json *j, DWORD thread, CONTEXT *context)
{
    HANDLE handle = OpenThread(THREAD_GET_CONTEXT, FALSE, thread);
    bool known = false;

    memset(context, 0, sizeof(*context));
    context->ContextFlags = CONTEXT_CONTROL | CONTEXT_INTEGER;
    if (handle) {
        known = GetThreadContext(handle, context) != 0;
        CloseHandle(handle);
    }
    if (!known) {
        memset(context, 0, sizeof(*context));
        json_null(j, "registers");
        return;
    }
    json_object(j, "registers");
#if defined(_M_X64) || defined(__x86_64__)
    json_hex(j, "rip", context->Rip);
    json_hex(j, "rsp", context->Rsp);
    json_hex(j, "rbp", context->Rbp);
    json_hex(j, "rax", context->Rax);
    json_hex(j, "rbx", context->Rbx);
    json_hex(j, "rcx", context->Rcx);
    json_hex(j, "rdx", context->Rdx);
    json_hex(j, "rsi", context->Rsi);
    json_hex(j, "rdi", context->Rdi);
    json_hex(j, "r8", context->R8);
    json_hex(j, "r9", context->R9);
    json_hex(j, "r10", context->R10);
    json_hex(j, "r11", context->R11);
    json_hex(j, "r12", context->R12);
    json_hex(j, "r13", context->R13);
    json_hex(j, "r14", context->R14);
    json_hex(j, "r15", context->R15);
    json_hex(j, "eflags", context->EFlags);
#elif defined(_M_IX86) || defined(__i386__)
    json_hex(j, "eip", context->Eip);
    json_hex(j, "esp", context->Esp);
    json_hex(j, "ebp", context->Ebp);
    json_hex(j, "eax", context->Eax);
    json_hex(j, "ebx", context->Ebx);
    json_hex(j, "ecx", context->Ecx);
    json_hex(j, "edx", context->Edx);
    json_hex(j, "esi", context->Esi);
    json_hex(j, "edi", context->Edi);
    json_hex(j, "eflags", context->EFlags);
#endif
    json_end(j);
}

static void write_exception(json *j, const EXCEPTION_RECORD *exception)
{
    DWORD i;

    json_hex(j, "code", exception->ExceptionCode);
    json_unsigned(j, "flags", exception->ExceptionFlags);
    if (exception->ExceptionCode == (DWORD)STATUS_ACCESS_VIOLATION && exception->NumberParameters >= 2) {
        static const char *const kinds[] = { "read", "write" };
        ULONG_PTR kind = exception->ExceptionInformation[0];

        json_utf8(j, "access", kind < ARRAY_COUNT(kinds) ? kinds[kind] : "execute");
        json_hex(j, "target", exception->ExceptionInformation[1]);
    }
    json_array(j, "parameters");
    for (i = 0; i < exception->NumberParameters && i < EXCEPTION_MAXIMUM_PARAMETERS; i++)
        json_hex(j, NULL, exception->ExceptionInformation[i]);
    json_end(j);
}

bool crash_write(const crash_report *crash)
{
    static module_list modules;     /* too large for a stack */
    ULONG_PTR address = (ULONG_PTR)crash->exception->ExceptionAddress;
    const module *at, *driver;
    CONTEXT context;
    wchar_t process[64];
    json j;

    modules_read(crash->pid, &modules, process, ARRAY_COUNT(process));
    at = modules_find(&modules, address);
    json_start(&j, MAX_LINE);
    json_object(&j, NULL);
    json_time(&j);
    json_utf8(&j, "kind", "exception");
    json_unsigned(&j, "pid", crash->pid);
    json_unsigned(&j, "thread", crash->thread);
    json_text(&j, "process", process);
    write_exception(&j, crash->exception);
    json_bool(&j, "first_chance", crash->first_chance);
    module_place(&j, at, address);
    write_registers(&j, crash->thread, &context);
    driver = write_stack(&j, crash->process, &context, &modules);
    if (module_is_driver(at))
        driver = at;
    if (driver)
        json_text(&j, "driver", driver->name);
    else
        json_null(&j, "driver");
    modules_write(&j, &modules);
    return crash_append(&j);
}

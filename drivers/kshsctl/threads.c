/* SPDX-License-Identifier: Apache-2.0
 *
 * threads.c - where the threads stand that drivers run on, in guests whose
 * drivers live in a process (Wine).
 *
 * Each thread is stopped for the moment in which its registers and its stack
 * are read.  One that waits in the kernel shows the call by which it entered it.
 */
#include "threads.h"
#include "unwind.h"
#include <tlhelp32.h>

#define DRIVER_HOST L"winedevice.exe"
#define MAX_THREADS 256
#define MAX_FRAMES 48
#define FEW_FRAMES 8                /* where there is no room for more */
#define MAX_TEXT 400000
#define ROOM_FOR_END 512            /* for what has to follow a thread: counters, and the ends of all that is open */

typedef struct stack {
    unsigned count;
    bool driver;                    /* a frame of it is a driver's */
    ULONG_PTR frames[MAX_FRAMES];
} stack;

/* Of one look: the agent may have to give up one for another. */
typedef struct workspace {
    module_list modules;
    unwound unwound;
} workspace;

static bool read_stack(unwound *u, HANDLE thread, const module_list *modules, stack *s)
{
    CONTEXT context;

    memset(&context, 0, sizeof(context));
    context.ContextFlags = CONTEXT_CONTROL | CONTEXT_INTEGER;
    if (!GetThreadContext(thread, &context))
        return false;
#if defined(_M_X64) || defined(__x86_64__)
    do {
        s->frames[s->count++] = (ULONG_PTR)context.Rip;
        s->driver |= module_is_driver(modules_find(modules, (ULONG_PTR)context.Rip));
    } while (s->count < MAX_FRAMES && unwind_step(u, modules, &context));
#else
    s->frames[s->count++] = context.Eip;
#endif
    return true;
}

static bool fits(const json *j, size_t room)
{
    return !j->failed && j->limit - j->length > room;
}

static void write_frames(json *j, DWORD id, const module_list *modules, const stack *s, unsigned most)
{
    unsigned i;

    json_object(j, NULL);
    json_unsigned(j, "thread", id);
    json_array(j, "stack");
    for (i = 0; i < s->count && i < most; i++) {
        json_object(j, NULL);
        module_place(j, modules_find(modules, s->frames[i]), s->frames[i]);
        json_end(j);
    }
    json_end(j);
    json_end(j);
}

/* As many frames as there is room for.  FALSE: not even the innermost ones. */
static bool write_thread(json *j, DWORD id, const module_list *modules, const stack *s)
{
    static const unsigned most[] = { MAX_FRAMES, FEW_FRAMES };
    const json before = *j;
    unsigned i;

    for (i = 0; i < ARRAY_COUNT(most); i++) {
        write_frames(j, id, modules, s, most[i]);
        if (fits(j, ROOM_FOR_END))
            return true;
        json_undo(j, &before);
    }
    return false;
}

static bool look_at(unwound *u, DWORD id, const module_list *modules, stack *s)
{
    HANDLE thread = OpenThread(THREAD_SUSPEND_RESUME | THREAD_GET_CONTEXT, FALSE, id);
    bool known;

    if (!thread)
        return false;
    memset(s, 0, sizeof(*s));
    known = SuspendThread(thread) != (DWORD)-1;
    if (known) {
        unwind_thread(u);
        known = read_stack(u, thread, modules, s);
        ResumeThread(thread);
    }
    CloseHandle(thread);
    return known;
}

static void write_threads(json *j, DWORD pid, unwound *u, const module_list *modules, HANDLE snapshot,
                          uint64_t until_ms)
{
    unsigned told = 0, others = 0, left_out = 0;
    THREADENTRY32 entry;
    BOOL more;

    json_array(j, "threads");
    memset(&entry, 0, sizeof(entry));
    entry.dwSize = sizeof(entry);
    for (more = Thread32First(snapshot, &entry); more; more = Thread32Next(snapshot, &entry)) {
        stack s;

        if (entry.th32OwnerProcessID != pid)
            continue;
        if (told + others == MAX_THREADS || (until_ms && now_ms() >= until_ms)) {
            left_out++;
            continue;
        }
        if (!look_at(u, entry.th32ThreadID, modules, &s) || !s.driver)
            others++;
        else if (write_thread(j, entry.th32ThreadID, modules, &s))
            told++;
        else
            left_out++;
    }
    json_end(j);
    json_unsigned(j, "others", others);     /* threads without a driver in their stacks */
    json_unsigned(j, "left_out", left_out);
}

static void write_process(json *j, DWORD pid, HANDLE snapshot, workspace *space, uint64_t until_ms)
{
    module_list *modules = &space->modules;
    json before = *j;
    wchar_t name[64];

    modules_read(pid, modules, name, ARRAY_COUNT(name));
    json_object(j, NULL);
    json_unsigned(j, "pid", pid);
    json_text(j, "process", name);
    if (!fits(j, 2 * ROOM_FOR_END)) {
        json_undo(j, &before);
        return;
    }
    write_threads(j, pid, &space->unwound, modules, snapshot, until_ms);
    before = *j;
    modules_write(j, modules);
    if (!fits(j, ROOM_FOR_END / 2))
        json_undo(j, &before);
    json_end(j);
}

bool threads_write(json *j, uint64_t until_ms)
{
    workspace *space = malloc(sizeof(*space));
    HANDLE snapshot = CreateToolhelp32Snapshot(TH32CS_SNAPPROCESS | TH32CS_SNAPTHREAD, 0);
    PROCESSENTRY32W entry;
    BOOL more;

    if (!space || snapshot == INVALID_HANDLE_VALUE) {
        free(space);
        if (snapshot != INVALID_HANDLE_VALUE)
            CloseHandle(snapshot);
        return false;
    }
    json_object(j, NULL);
    json_array(j, "processes");
    memset(&entry, 0, sizeof(entry));
    entry.dwSize = sizeof(entry);
    for (more = Process32FirstW(snapshot, &entry); more; more = Process32NextW(snapshot, &entry)) {
        HANDLE process;

        if (_wcsicmp(entry.szExeFile, DRIVER_HOST))
            continue;
        process = OpenProcess(PROCESS_VM_READ | PROCESS_QUERY_INFORMATION, FALSE, entry.th32ProcessID);
        if (!process)
            continue;
        unwind_start(&space->unwound, process);
        write_process(j, entry.th32ProcessID, snapshot, space, until_ms);
        CloseHandle(process);
    }
    json_end(j);
    json_end(j);
    CloseHandle(snapshot);
    free(space);
    return true;
}

int verb_threads(int count, wchar_t **arguments)
{
    json j;

    (void)count;
    (void)arguments;
    json_start(&j, MAX_TEXT);
    if (!threads_write(&j, 0)) {
        json_free(&j);
        return EXIT_FAILED;
    }
    return json_print(&j) ? EXIT_DONE : EXIT_FAILED;
}

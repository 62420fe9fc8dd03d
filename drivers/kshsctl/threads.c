/* SPDX-License-Identifier: Apache-2.0
 *
 * threads.c - where the threads stand that drivers run on, in guests whose
 * drivers live in a process (Wine).
 *
 * Each thread is stopped for the moment in which its registers and its stack
 * are read.  One that waits in the kernel shows the call by which it entered it.
 */
#include "nt.h"
#include "unwind.h"
#include <tlhelp32.h>

#define DRIVER_HOST L"winedevice.exe"
#define MAX_THREADS 256
#define MAX_FRAMES 48
#define MAX_TEXT 400000

typedef struct stack {
    unsigned count;
    bool driver;                    /* a frame of it is a driver's */
    ULONG_PTR frames[MAX_FRAMES];
} stack;

static bool read_stack(HANDLE process, HANDLE thread, const module_list *modules, stack *s)
{
    CONTEXT context;

    memset(s, 0, sizeof(*s));
    memset(&context, 0, sizeof(context));
    context.ContextFlags = CONTEXT_CONTROL | CONTEXT_INTEGER;
    if (!GetThreadContext(thread, &context))
        return false;
#if defined(_M_X64) || defined(__x86_64__)
    do {
        s->frames[s->count++] = (ULONG_PTR)context.Rip;
        s->driver |= module_is_driver(modules_find(modules, (ULONG_PTR)context.Rip));
    } while (s->count < MAX_FRAMES && unwind_step(process, modules, &context));
#else
    s->frames[s->count++] = context.Eip;
#endif
    return true;
}

static void write_thread(json *j, DWORD id, const module_list *modules, const stack *s)
{
    unsigned i;

    json_object(j, NULL);
    json_unsigned(j, "thread", id);
    json_array(j, "stack");
    for (i = 0; i < s->count; i++) {
        json_object(j, NULL);
        module_place(j, modules_find(modules, s->frames[i]), s->frames[i]);
        json_end(j);
    }
    json_end(j);
    json_end(j);
}

static void write_threads(json *j, DWORD pid, HANDLE process, const module_list *modules, HANDLE snapshot)
{
    unsigned told = 0, idle = 0;
    THREADENTRY32 entry;
    BOOL more;

    json_array(j, "threads");
    entry.dwSize = sizeof(entry);
    for (more = Thread32First(snapshot, &entry); more && told + idle < MAX_THREADS; more = Thread32Next(snapshot, &entry)) {
        HANDLE thread;
        bool known;
        stack s;

        if (entry.th32OwnerProcessID != pid)
            continue;
        thread = OpenThread(THREAD_SUSPEND_RESUME | THREAD_GET_CONTEXT, FALSE, entry.th32ThreadID);
        if (!thread)
            continue;
        known = SuspendThread(thread) != (DWORD)-1;
        if (known) {
            known = read_stack(process, thread, modules, &s);
            ResumeThread(thread);
        }
        CloseHandle(thread);
        if (known && s.driver) {
            write_thread(j, entry.th32ThreadID, modules, &s);
            told++;
        } else {
            idle++;
        }
    }
    json_end(j);
    json_unsigned(j, "others", idle);   /* threads without a driver in their stacks */
}

static void write_process(json *j, DWORD pid, HANDLE snapshot)
{
    static module_list modules;     /* too large for a stack */
    HANDLE process = OpenProcess(PROCESS_VM_READ | PROCESS_QUERY_INFORMATION, FALSE, pid);
    wchar_t name[64];

    if (!process)
        return;
    modules_read(pid, &modules, name, ARRAY_COUNT(name));
    json_object(j, NULL);
    json_unsigned(j, "pid", pid);
    json_text(j, "process", name);
    write_threads(j, pid, process, &modules, snapshot);
    modules_write(j, &modules);
    json_end(j);
    CloseHandle(process);
}

int verb_threads(int count, wchar_t **arguments)
{
    PROCESSENTRY32W entry;
    HANDLE snapshot;
    json j;
    BOOL more;

    (void)count;
    (void)arguments;
    snapshot = CreateToolhelp32Snapshot(TH32CS_SNAPPROCESS | TH32CS_SNAPTHREAD, 0);
    if (snapshot == INVALID_HANDLE_VALUE)
        return EXIT_FAILED;
    json_start(&j, MAX_TEXT);
    json_object(&j, NULL);
    json_array(&j, "processes");
    memset(&entry, 0, sizeof(entry));
    entry.dwSize = sizeof(entry);
    for (more = Process32FirstW(snapshot, &entry); more; more = Process32NextW(snapshot, &entry))
        if (!_wcsicmp(entry.szExeFile, DRIVER_HOST))
            write_process(&j, entry.th32ProcessID, snapshot);
    json_end(&j);
    CloseHandle(snapshot);
    return json_print(&j) ? EXIT_DONE : EXIT_FAILED;
}

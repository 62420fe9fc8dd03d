/* SPDX-License-Identifier: Apache-2.0
 *
 * crash.c - the crash recorder for guests without bugchecks.
 *
 * Under Wine drivers live in winedevice.exe, a process.  When it faults, its
 * unhandled-exception filter starts the program that AeDebug names and waits
 * until that has either set the event or gone.  This recorder attaches as a
 * debugger, sets the event, is shown the exception anew, writes one line to
 * crashes.jsonl and only then ends the process: whoever sees the driver gone
 * finds the line already there.
 *
 * It runs in kshsrec.exe (drivers/kshsrec), which starts in a fraction of this
 * program's time; crash_install.c says which of the two is registered.
 *
 * KeBugCheckEx is no exception under Wine: see crash_watch.c.
 */
#include "crash.h"
#include "trace.h"

#define EVENT_WAIT_MS 10000
#define MAX_EVENTS 4096             /* modules and threads that are announced on attaching, and some */

static bool is_first_breakpoint(const EXCEPTION_RECORD *record)
{
    return record->ExceptionCode == (DWORD)STATUS_BREAKPOINT || record->ExceptionCode == 0x4000001fu;
}

static void end_process(DWORD pid, DWORD code)
{
    HANDLE process = OpenProcess(PROCESS_TERMINATE, FALSE, pid);

    if (process) {
        TerminateProcess(process, code);
        CloseHandle(process);
    }
}

/* Files come with these events; nobody else closes them. */
static void close_event_file(const DEBUG_EVENT *event)
{
    HANDLE file = NULL;

    if (event->dwDebugEventCode == LOAD_DLL_DEBUG_EVENT)
        file = event->u.LoadDll.hFile;
    else if (event->dwDebugEventCode == CREATE_PROCESS_DEBUG_EVENT)
        file = event->u.CreateProcessInfo.hFile;
    if (file)
        CloseHandle(file);
}

static bool record(report *r, DWORD pid, HANDLE told)
{
    HANDLE process = OpenProcess(PROCESS_ALL_ACCESS, FALSE, pid);
    crash_report crash;
    unsigned count;

    report_step(r, "attach");
    if (!process)
        return report_fail(r, GetLastError(), L"there is no process %lu to attach to", pid);
    if (!DebugActiveProcess(pid)) {
        report_fail(r, GetLastError(), L"process %lu cannot be attached to", pid);
        crash_append_simple(pid, NULL, "unattached", r->code);
        if (told)
            SetEvent(told);
        CloseHandle(process);
        return false;
    }
    report_step(r, "wait-exception");
    for (count = 0; count < MAX_EVENTS; count++) {
        DWORD answer = DBG_CONTINUE;
        DEBUG_EVENT event;

        if (!WaitForDebugEvent(&event, EVENT_WAIT_MS)) {
            report_fail(r, GetLastError(), L"process %lu showed no exception", pid);
            crash_append_simple(pid, NULL, "no-exception", r->code);
            end_process(pid, (DWORD)STATUS_UNHANDLED_EXCEPTION);
            return false;
        }
        close_event_file(&event);
        if (event.dwDebugEventCode == EXIT_PROCESS_DEBUG_EVENT) {
            crash_append_simple(pid, NULL, "exited", event.u.ExitProcess.dwExitCode);
            return true;
        }
        if (event.dwDebugEventCode == EXCEPTION_DEBUG_EVENT) {
            const EXCEPTION_RECORD *exception = &event.u.Exception.ExceptionRecord;

            /* The one that attaching makes: from now on the process may go on to its own. */
            if (is_first_breakpoint(exception) && told) {
                SetEvent(told);
                CloseHandle(told);
                told = NULL;
            } else {
                crash.pid = pid;
                crash.thread = event.dwThreadId;
                crash.process = process;
                crash.exception = exception;
                crash.first_chance = event.u.Exception.dwFirstChance != 0;
                report_step(r, "trace");
                trace_rescue_crashed(pid, process);
                report_step(r, "write");
                if (!crash_write(&crash))
                    report_fail(r, GetLastError(), L"the crash of process %lu could not be written down", pid);
                end_process(pid, exception->ExceptionCode);
                ContinueDebugEvent(event.dwProcessId, event.dwThreadId, DBG_EXCEPTION_NOT_HANDLED);
                return !r->failed;
            }
        }
        ContinueDebugEvent(event.dwProcessId, event.dwThreadId, answer);
    }
    crash_append_simple(pid, NULL, "no-exception", 0);
    end_process(pid, (DWORD)STATUS_UNHANDLED_EXCEPTION);
    return report_fail(r, 0, L"process %lu showed no exception", pid);
}

static bool number(const wchar_t *text, uint64_t *value)
{
    wchar_t *end;

    if (*text < L'0' || *text > L'9')
        return false;
    *value = _wcstoui64(text, &end, 10);
    return !*end;
}

int verb_crash(int count, wchar_t **arguments)
{
    uint64_t pid, event;
    report r;

    (void)count;
    report_start(&r, "crash");
    report_step(&r, "arguments");
    if (!number(arguments[0], &pid) || !pid || pid > 0xFFFFFFFF || !number(arguments[1], &event))
        report_fail(&r, ERROR_INVALID_PARAMETER,
                    L"PID and EVENT are decimal numbers; EVENT is an inherited handle, or 0");
    else
        record(&r, (DWORD)pid, (HANDLE)(ULONG_PTR)event);
    return report_finish(&r);
}

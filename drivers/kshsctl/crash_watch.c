/* SPDX-License-Identifier: Apache-2.0
 *
 * crash_watch.c - driver processes that end without an exception.
 *
 * Wine's KeBugCheckEx writes its parameters to stderr and calls ExitProcess
 * with the bugcheck code.  No debugger is started for that, so the agent keeps
 * handles to the driver processes and, when the client is gone, looks which of
 * them ended and how.  The parameters themselves are in the guest's stderr,
 * where only the host can read them.
 */
#include "crash.h"
#include <tlhelp32.h>

#define MAX_PROCESSES 16
#define EXIT_KILLED 1               /* what Wine 10 says of a process that its Linux has killed */
#define END_WAIT_MS 500             /* the client's handles break a little before the process has ended */

static struct {
    DWORD pid;
    HANDLE process;
} watched[MAX_PROCESSES];

static unsigned watched_count;
static LONGLONG lines_before;       /* process ids come again: older lines are about others */

static bool is_watched(DWORD pid)
{
    unsigned i;

    for (i = 0; i < watched_count; i++)
        if (watched[i].pid == pid)
            return true;
    return false;
}

void crash_watch_start(void)
{
    PROCESSENTRY32W entry;
    HANDLE snapshot;

    if (!nt_is_wine())
        return;
    lines_before = crash_file_size();
    snapshot = CreateToolhelp32Snapshot(TH32CS_SNAPPROCESS, 0);
    if (snapshot == INVALID_HANDLE_VALUE)
        return;
    memset(&entry, 0, sizeof(entry));
    entry.dwSize = sizeof(entry);
    if (Process32FirstW(snapshot, &entry)) {
        do {
            HANDLE process;

            if (_wcsicmp(entry.szExeFile, L"winedevice.exe") || is_watched(entry.th32ProcessID) ||
                watched_count == MAX_PROCESSES)
                continue;
            process = OpenProcess(SYNCHRONIZE | PROCESS_QUERY_INFORMATION, FALSE, entry.th32ProcessID);
            if (!process)
                continue;
            watched[watched_count].pid = entry.th32ProcessID;
            watched[watched_count++].process = process;
        } while (Process32NextW(snapshot, &entry));
    }
    CloseHandle(snapshot);
}

static void note_end(DWORD pid, HANDLE process)
{
    DWORD code;

    /* A bugcheck of that very code stands in the guest's stderr, as all do. */
    if (GetExitCodeProcess(process, &code) && code && !crash_known(pid, lines_before))
        crash_append_simple(pid, L"winedevice.exe", code == EXIT_KILLED ? "ended" : "bugcheck", code);
}

static bool look(DWORD patience)
{
    unsigned i, kept = 0, before = watched_count;
    HANDLE processes[MAX_PROCESSES];

    for (i = 0; i < watched_count; i++)
        processes[i] = watched[i].process;
    if (watched_count)
        WaitForMultipleObjects(watched_count, processes, FALSE, patience);
    for (i = 0; i < watched_count; i++) {
        if (WaitForSingleObject(watched[i].process, 0) == WAIT_OBJECT_0) {
            note_end(watched[i].pid, watched[i].process);
            CloseHandle(watched[i].process);
        } else {
            watched[kept++] = watched[i];
        }
    }
    watched_count = kept;
    return kept < before;
}

void crash_watch_look(void)
{
    look(END_WAIT_MS);
}

bool crash_watch_ended(void)
{
    return look(0);
}

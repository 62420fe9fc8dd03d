/* SPDX-License-Identifier: Apache-2.0
 *
 * trace_rescue.c - the ring of a tracer that does not answer, out of the memory
 * of the process in which it lives (Wine): a driver beside it has died, and took
 * all others with it, or holds the one thread that serves requests.
 */
#include "modules.h"
#include "trace.h"
#include <tlhelp32.h>

#define DRIVER_HOST L"winedevice.exe"
#define MOST_IMAGE (16u << 20)

/* What another process says of itself may be anything. */
static bool read_memory(HANDLE process, uint64_t address, void *data, size_t length)
{
    SIZE_T got = 0;

    return ReadProcessMemory(process, (const void *)(ULONG_PTR)address, data, length, &got) && got == length;
}

/* Pages of an image that cannot be read are passed over. */
static bool find_beacon(HANDLE process, const module *image, kstrace_beacon *beacon)
{
    static const char magic[16] = KSTRACE_MAGIC;
    static uint8_t page[4096 + sizeof(kstrace_beacon)];
    size_t at, i;

    for (at = 0; at < image->size && image->size <= MOST_IMAGE; at += 4096) {
        size_t length = image->size - at < sizeof(page) ? image->size - at : sizeof(page);

        if (!read_memory(process, image->base + at, page, length) &&
            !read_memory(process, image->base + at, page, length = 4096))
            continue;
        for (i = 0; i + sizeof(*beacon) <= length; i += 8) {
            if (memcmp(page + i, magic, sizeof(magic)))
                continue;
            memcpy(beacon, page + i, sizeof(*beacon));
            if (beacon->version == KSTRACE_VERSION && beacon->records && beacon->count >= KSTRACE_LEAST_RECORDS &&
                beacon->count <= KSTRACE_MOST_RECORDS && beacon->next > beacon->forgotten)
                return true;
        }
    }
    return false;
}

/* Where the processor's own counter was the clock, its rate is what it has counted until now. */
static void hold_against_now(kstrace_clock *clock)
{
    uint64_t ns = now_ns(), ticks = __rdtsc();

    if (clock->span_ticks || ticks <= clock->first_ticks || ns <= clock->first_ns)
        return;
    clock->span_ticks = ticks - clock->first_ticks;
    clock->span_ns = ns - clock->first_ns;
}

static bool rescue(HANDLE process, const module *image, bytes *lines)
{
    kstrace_record *ring, *sorted;
    kstrace_beacon beacon;
    kstrace_state state;
    size_t count = 0;
    uint64_t number;

    if (!find_beacon(process, image, &beacon))
        return false;
    ring = calloc(beacon.count, sizeof(*ring));
    sorted = calloc(beacon.count, sizeof(*sorted));
    if (ring && sorted && read_memory(process, beacon.records, ring, beacon.count * sizeof(*ring))) {
        hold_against_now(&beacon.clock);
        number = beacon.next > beacon.count ? beacon.next - beacon.count : 1;
        if (number <= beacon.forgotten)
            number = beacon.forgotten + 1;
        for (; number < beacon.next; number++) {
            const kstrace_record *record = &ring[(number - 1) % beacon.count];

            if (record->number != number || record->writer != number)
                continue;
            sorted[count] = *record;
            kstrace_tell(&sorted[count], &beacon.clock);
            sorted[count++].number = number - beacon.forgotten;
        }
        memset(&state, 0, sizeof(state));
        state.next = beacon.next - beacon.forgotten;
        state.lost = beacon.lost;
        state.filters = 1;
        trace_lines(lines, &state, sorted, count);
    }
    free(ring);
    free(sorted);
    return count && !lines->failed;
}

static bool rescue_from(DWORD pid, HANDLE process, bytes *lines)
{
    static module_list modules;     /* too large for a stack */
    wchar_t name[64];
    unsigned i;

    modules_read(pid, &modules, name, ARRAY_COUNT(name));
    for (i = 0; i < modules.count; i++)
        if (!_wcsicmp(modules.items[i].name, TRACE_FILE))
            return rescue(process, &modules.items[i], lines);
    return false;
}

bool trace_crash_path(wchar_t *out, size_t count)
{
    wchar_t folder[MAX_PATH];

    if (!own_directory(folder, ARRAY_COUNT(folder)))
        return false;
    format_text(out, count, L"%ls\\%ls", folder, L"kstrace-crash.jsonl");
    return true;
}

void trace_rescue_crashed(DWORD pid, HANDLE process)
{
    bytes lines = { NULL, 0, 0, false };
    wchar_t path[MAX_PATH + 32];
    HANDLE file;

    if (rescue_from(pid, process, &lines) && trace_crash_path(path, ARRAY_COUNT(path))) {
        file = CreateFileW(path, GENERIC_WRITE, 0, NULL, CREATE_ALWAYS, FILE_ATTRIBUTE_NORMAL, NULL);
        if (file != INVALID_HANDLE_VALUE) {
            write_all(file, lines.data, lines.length);
            CloseHandle(file);
        }
    }
    bytes_free(&lines);
}

bool trace_rescue_live(bytes *lines)
{
    HANDLE snapshot = CreateToolhelp32Snapshot(TH32CS_SNAPPROCESS, 0);
    PROCESSENTRY32W entry;
    bool found = false;
    BOOL more;

    if (snapshot == INVALID_HANDLE_VALUE)
        return false;
    entry.dwSize = sizeof(entry);
    for (more = Process32FirstW(snapshot, &entry); more && !found; more = Process32NextW(snapshot, &entry)) {
        HANDLE process;

        if (_wcsicmp(entry.szExeFile, DRIVER_HOST))
            continue;
        process = OpenProcess(PROCESS_VM_READ | PROCESS_QUERY_INFORMATION, FALSE, entry.th32ProcessID);
        if (!process)
            continue;
        found = rescue_from(entry.th32ProcessID, process, lines);
        CloseHandle(process);
    }
    CloseHandle(snapshot);
    return found;
}

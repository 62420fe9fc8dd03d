/* SPDX-License-Identifier: Apache-2.0
 *
 * trace_save.c - a capsule (docs/field-bugs.md) of what was recorded.
 *
 * In it are the trace, which kernel and which drivers these were, and the files
 * that the command line names; nothing else of the machine.
 */
#include "trace.h"

#define MOST_FILE_BYTES (200u << 20)
#define MOST_FILES 400

typedef struct listed {
    char name[200];
    const char *role;
    size_t size;
    char sha256[65];
} listed;

typedef struct contents {
    zip_file zip;
    listed files[MOST_FILES];
    unsigned count;
} contents;

typedef struct wishes {
    const wchar_t *package, *dump, *note;
} wishes;

/* ---- one file of it -------------------------------------------------------------------------- */

static bool add(report *r, contents *c, const char *name, const char *role, const void *data, size_t length)
{
    listed *file = &c->files[c->count];

    if (c->count == MOST_FILES)
        return report_fail(r, 0, L"these are more files than a capsule has");
    snprintf(file->name, sizeof(file->name), "%s", name);
    file->role = role;
    file->size = length;
    if (!memory_sha256(data, length, file->sha256))
        return report_fail(r, 0, L"this system cannot compute a SHA-256");
    c->count++;
    return zip_add(&c->zip, name, data, length) || report_fail(r, c->zip.error, L"the capsule cannot be written");
}

static bool add_file(report *r, contents *c, const wchar_t *path, const wchar_t *file, const char *folder,
                     const char *role)
{
    char name[200];
    uint8_t *data;
    size_t length, bytes;
    char *utf8 = utf8_from_wide(file, wcslen(file), &bytes);
    DWORD error = file_read(path, MOST_FILE_BYTES, &data, &length);
    bool added;

    if (error || !utf8) {
        free(utf8);
        free(data);
        return report_fail(r, error, L"%ls cannot be read", path);
    }
    snprintf(name, sizeof(name), "%s%.*s", folder, (int)bytes, utf8);
    free(utf8);
    added = add(r, c, name, role, data, length);
    free(data);
    return added;
}

/* The files of a folder that the user named, and of none below it. */
static bool add_package(report *r, contents *c, const wchar_t *folder)
{
    wchar_t pattern[MAX_PATH + 4], path[2 * MAX_PATH];
    WIN32_FIND_DATAW found;
    HANDLE search;
    bool all = true;

    format_text(pattern, ARRAY_COUNT(pattern), L"%ls\\*", folder);
    search = FindFirstFileW(pattern, &found);
    if (search == INVALID_HANDLE_VALUE)
        return report_fail(r, GetLastError(), L"there is no folder %ls", folder);
    do {
        if (found.dwFileAttributes & FILE_ATTRIBUTE_DIRECTORY)
            continue;
        format_text(path, ARRAY_COUNT(path), L"%ls\\%ls", folder, found.cFileName);
        all = add_file(r, c, path, found.cFileName, "package/", "package");
    } while (all && FindNextFileW(search, &found));
    FindClose(search);
    return all;
}

/* ---- which machine ------------------------------------------------------------------------------ */

static void write_driver(json *j, const wchar_t *path, const wchar_t *name)
{
    file_facts facts;

    file_examine(path, &facts);
    json_object(j, NULL);
    json_text(j, "file", name);
    json_file_version(j, "version", &facts);
    if (*facts.sha256)
        json_utf8(j, "sha256", facts.sha256);
    else
        json_null(j, "sha256");
    json_end(j);
}

/* The path of a service's driver tells where it was installed, which is nobody's business. */
static void write_service(json *j, const wchar_t *service)
{
    service_facts facts;
    const wchar_t *name;

    service_examine(service, &facts);
    name = wcsrchr(facts.path, '\\');
    write_driver(j, facts.path, name ? name + 1 : service);
}

static bool add_drivers(report *r, contents *c, const wchar_t *service)
{
    wchar_t path[MAX_PATH + 16];
    bool added;
    json j;

    json_start(&j, JSON_MAX_BYTES);
    json_object(&j, NULL);
    json_array(&j, "drivers");
    if (*service)
        write_service(&j, service);
    if (driver_path(L"ks.sys", path, ARRAY_COUNT(path)))
        write_driver(&j, path, L"ks.sys");
    if (driver_path(TRACE_FILE, path, ARRAY_COUNT(path)))
        write_driver(&j, path, TRACE_FILE);
    json_end(&j);
    json_end(&j);
    added = j.failed ? report_fail(r, 0, L"out of memory")
                     : add(r, c, "drivers.json", "drivers", j.text, j.length);
    json_free(&j);
    return added;
}

static void write_kernel(json *j)
{
    wchar_t path[MAX_PATH + 16];
    RTL_OSVERSIONINFOW version;
    file_facts ks;
    char build[40];

    memset(&version, 0, sizeof(version));
    version.dwOSVersionInfoSize = sizeof(version);
    memset(&ks, 0, sizeof(ks));
    if (driver_path(L"ks.sys", path, ARRAY_COUNT(path)))
        file_examine(path, &ks);
    json_object(j, "kernel");
    json_utf8(j, "family", nt_is_wine() ? "wine" : "windows");
    if (nt.rtl_get_version && NT_SUCCESS(nt.rtl_get_version(&version))) {
        snprintf(build, sizeof(build), "%lu.%lu.%lu", (unsigned long)version.dwMajorVersion,
                 (unsigned long)version.dwMinorVersion, (unsigned long)version.dwBuildNumber);
        json_utf8(j, "build", build);
    }
    if (*ks.sha256)
        json_utf8(j, "ks_sha256", ks.sha256);
    json_end(j);
}

static void write_origin(json *j)
{
    wchar_t path[MAX_PATH];
    file_facts self;
    SYSTEMTIME now;
    char text[80];

    memset(&self, 0, sizeof(self));
    if (GetModuleFileNameW(NULL, path, ARRAY_COUNT(path)))
        file_examine(path, &self);
    GetSystemTime(&now);
    json_object(j, "origin");
    snprintf(text, sizeof(text), "kshsctl %u.%u.%u.%u", self.version[0], self.version[1], self.version[2],
             self.version[3]);
    json_utf8(j, "kshs", text);
    snprintf(text, sizeof(text), "%04u-%02u-%02uT%02u:%02u:%02uZ", now.wYear, now.wMonth, now.wDay, now.wHour,
             now.wMinute, now.wSecond);
    json_utf8(j, "started", text);
    json_end(j);
}

static void write_target(json *j, const wchar_t *device, const wchar_t *service)
{
    json_object(j, "target");
    json_text(j, "name", *service ? service : *device ? device : L"unknown");
    if (*device && !trace_is_class(device))
        json_text(j, "hardware_id", device);
    if (*service)
        json_text(j, "service", service);
    json_end(j);
}

static bool add_manifest(report *r, contents *c, const wchar_t *device, const wchar_t *service, const wchar_t *note)
{
    bool added;
    unsigned i;
    json j;

    json_start(&j, JSON_MAX_BYTES);
    json_object(&j, NULL);
    json_unsigned(&j, "schema", 1);
    json_utf8(&j, "kind", "kshs capsule");
    write_origin(&j);
    write_kernel(&j);
    write_target(&j, device, service);
    if (note)
        json_text(&j, "reason", note);
    json_array(&j, "files");
    for (i = 0; i < c->count; i++) {
        json_object(&j, NULL);
        json_utf8(&j, "name", c->files[i].name);
        json_utf8(&j, "role", c->files[i].role);
        json_unsigned(&j, "size", c->files[i].size);
        json_utf8(&j, "sha256", c->files[i].sha256);
        json_end(&j);
    }
    json_end(&j);
    json_end(&j);
    added = j.failed ? report_fail(r, 0, L"out of memory")
                     : zip_add(&c->zip, "manifest.json", j.text, j.length) ||
                           report_fail(r, c->zip.error, L"the capsule cannot be written");
    json_free(&j);
    return added;
}

/* ---- the verb ---------------------------------------------------------------------------------------- */

static bool parse(report *r, int count, wchar_t **arguments, wishes *w)
{
    int i;

    memset(w, 0, sizeof(*w));
    for (i = 0; i < count; i++) {
        if (!wcsncmp(arguments[i], L"package=", 8))
            w->package = arguments[i] + 8;
        else if (!wcsncmp(arguments[i], L"dump=", 5))
            w->dump = arguments[i] + 5;
        else if (!wcsncmp(arguments[i], L"note=", 5))
            w->note = arguments[i] + 5;
        else
            return report_fail(r, 0, L"trace save FILE [package=DIR] [dump=FILE] [note=TEXT]: \"%ls\" is none of them",
                               arguments[i]);
    }
    return true;
}

/* What is left of a tracer that does not answer: drivers that live in a process leave their memory behind. */
static bool rescue(report *r, NTSTATUS status, bytes *lines)
{
    if (nt_is_wine() && (status == STATUS_IO_TIMEOUT ? trace_rescue_live(lines) : trace_rescued(lines))) {
        json_bool(&r->body, "rescued", true);
        return true;
    }
    return report_fail(r, RtlNtStatusToDosError(status),
                       L"the tracer does not answer (NTSTATUS 0x%08lx); begin with: kshsctl trace start DEVICE",
                       (unsigned long)status);
}

static bool fetch(report *r, bytes *lines)
{
    kstrace_record *records = NULL;
    kstrace_state state;
    HANDLE handle;
    size_t count = 0;
    NTSTATUS status = trace_open(&handle);

    if (!NT_SUCCESS(status))
        return rescue(r, status, lines);
    status = trace_fetch(handle, &state, &records, &count);
    if (status != STATUS_IO_TIMEOUT)        /* closing could wait for what did not come back */
        CloseHandle(handle);
    if (!NT_SUCCESS(status)) {
        free(records);
        return rescue(r, status, lines);
    }
    trace_lines(lines, &state, records, count);
    free(records);
    json_unsigned(&r->body, "events", count);
    return !lines->failed || report_fail(r, ERROR_NOT_ENOUGH_MEMORY, L"the records cannot be written down");
}

static bool fill(report *r, contents *c, const wishes *w, const bytes *lines)
{
    wchar_t service[200] = L"";
    const wchar_t *dump = w->dump ? wcsrchr(w->dump, '\\') : NULL;
    names devices;

    trace_devices(&devices);
    if (*devices.text && !trace_is_class(devices.text))
        trace_device_service(devices.text, service, ARRAY_COUNT(service));
    return add(r, c, "trace.jsonl", "trace", lines->data, lines->length) && add_drivers(r, c, service) &&
           (!w->package || add_package(r, c, w->package)) &&
           (!w->dump || add_file(r, c, w->dump, dump ? dump + 1 : w->dump, "dump/", "dump")) &&
           add_manifest(r, c, devices.text, service, w->note);
}

void trace_save(report *r, int count, wchar_t **arguments)
{
    contents *c = calloc(1, sizeof(*c));
    bytes lines = { NULL, 0, 0, false };
    const wchar_t *path = arguments[0];
    wishes w;
    unsigned i;

    report_step(r, "read");
    if (!c) {
        report_fail(r, ERROR_NOT_ENOUGH_MEMORY, L"out of memory");
        return;
    }
    if (parse(r, count - 1, arguments + 1, &w) && fetch(r, &lines)) {
        report_step(r, "write");
        json_text(&r->body, "file", path);
        if (!zip_create(&c->zip, path)) {
            report_fail(r, c->zip.error, L"%ls cannot be made; nothing is replaced", path);
        } else {
            bool full = fill(r, c, &w, &lines);

            if (!zip_finish(&c->zip))
                report_fail(r, c->zip.error, L"%ls cannot be written", path);
            if (!full || r->failed)
                DeleteFileW(path);
        }
        json_array(&r->body, "holds");
        for (i = 0; i < c->count; i++)
            json_utf8(&r->body, NULL, c->files[i].name);
        json_end(&r->body);
    }
    bytes_free(&lines);
    free(c);
}

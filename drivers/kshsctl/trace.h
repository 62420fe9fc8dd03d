/* SPDX-License-Identifier: Apache-2.0
 *
 * trace.h - the verb trace: kstrace.sys put above a device, its records fetched
 * and written as a capsule.
 */
#ifndef KSHSCTL_TRACE_H
#define KSHSCTL_TRACE_H

#include "nt.h"
#include "kstrace_abi.h"

#define TRACE_SERVICE L"KsHsTrace"
#define TRACE_FILE L"kstrace.sys"
#define TRACE_NT_PATH L"\\??\\KsHsTrace"

/* ---- trace_device.c: the handle to kstrace.sys --------------------------------------- */
NTSTATUS trace_open(HANDLE *handle);
/* GOT: bytes of the answer, or NULL.  STATUS_IO_TIMEOUT: the buffers are the kernel's from then on. */
NTSTATUS trace_control(HANDLE handle, DWORD code, const void *in, size_t in_size, void *out, size_t out_size,
                       size_t *got);
NTSTATUS trace_state(HANDLE handle, kstrace_state *state);
/* All records, malloc; COUNT of them, and the state before they were read. */
NTSTATUS trace_fetch(HANDLE handle, kstrace_state *state, kstrace_record **records, size_t *count);

/* ---- trace_names.c: REG_MULTI_SZ -------------------------------------------------------- */
typedef struct names {
    wchar_t text[2048];             /* each ends with a NUL, and all with another */
    size_t length;                  /* without the last NUL */
} names;

void names_tidy(names *list, DWORD size);               /* SIZE bytes were read into its text */
bool names_drop(names *list, const wchar_t *name);
bool names_append(names *list, const wchar_t *name);    /* false: there is no room */
DWORD names_bytes(const names *list);
DWORD names_read(names *list, HKEY key, const wchar_t *value);      /* Win32 codes */
DWORD names_write(const names *list, HKEY key, const wchar_t *value);

/* ---- trace_filters.c: where upper filters are told ------------------------------------- */
/* DEVICE: a hardware id, or class:{GUID}. */
bool trace_is_class(const wchar_t *device);
/* Adds or takes away our name.  DEVICES: so many.  Win32 code. */
DWORD trace_filters_change(const wchar_t *device, bool add, unsigned *devices);
DWORD trace_restart(const wchar_t *device, bool *reboot);
bool trace_device_service(const wchar_t *hardware_id, wchar_t *service, size_t count);

/* ---- trace_text.c: records as lines of JSON ----------------------------------------------- */
typedef struct bytes {
    uint8_t *data;
    size_t length, capacity;
    bool failed;                    /* no memory */
} bytes;

void bytes_add(bytes *b, const void *data, size_t length);
void bytes_free(bytes *b);
void trace_lines(bytes *out, const kstrace_state *state, const kstrace_record *records, size_t count);

/* ---- trace_rescue.c: out of a process's memory, on Wine ------------------------------------------ */
void trace_rescue_crashed(DWORD pid, HANDLE process);   /* the recorder: into a file beside this executable */
bool trace_rescue_live(bytes *lines);                   /* from the process in which drivers live */
bool trace_crash_path(wchar_t *out, size_t count);      /* of that file */

/* ---- trace_rescued.c: what the recorder has written there ---------------------------------------- */
bool trace_rescued(bytes *lines);
void trace_rescue_forget(void);

/* ---- zip.c: a zip file whose members are stored as they are ----------------------------------- */
#define ZIP_MOST 512

typedef struct zip_member {
    char name[200];
    uint32_t crc, size, offset;
} zip_member;

typedef struct zip_file {
    HANDLE file;
    uint64_t at;
    unsigned count;
    DWORD error;                    /* the first one */
    zip_member members[ZIP_MOST];
} zip_file;

bool zip_create(zip_file *zip, const wchar_t *path);     /* replaces nothing */
bool zip_add(zip_file *zip, const char *name, const void *data, size_t length);
bool zip_finish(zip_file *zip);

/* ---- trace_settings.c: what is watched, and how -------------------------------------------------- */
typedef struct trace_settings {
    DWORD records;                  /* 0: as the driver has it */
    GUID sets[KSTRACE_MAX_SETS];
    unsigned set_count;
} trace_settings;

bool trace_settings_parse(report *r, int count, wchar_t **arguments, trace_settings *s);
DWORD trace_settings_write(const trace_settings *s);    /* Win32 codes */
DWORD trace_devices(names *devices);
DWORD trace_remember(const wchar_t *device, bool add, names *left);     /* LEFT: those that are watched then */

/* ---- trace_save.c ---------------------------------------------------------------------------------- */
void trace_save(report *r, int count, wchar_t **arguments);

#endif

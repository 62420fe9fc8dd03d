/* SPDX-License-Identifier: Apache-2.0
 *
 * kshsctl.h - what the files of the agent share: text, errors, JSON, verbs.
 *
 * The agent has to start on every NT 5.2 kernel and on Wine, so that it can
 * say what is missing there.  Nothing newer is imported; see nt.h.
 */
#ifndef KSHSCTL_H
#define KSHSCTL_H

#ifndef _WIN32_WINNT
#define _WIN32_WINNT 0x0502
#endif
#ifndef UNICODE
#define UNICODE
#endif
#ifndef _CRT_SECURE_NO_WARNINGS
#define _CRT_SECURE_NO_WARNINGS     /* _vsnwprintf and friends: every call here bounds and ends its text */
#endif
#define WIN32_LEAN_AND_MEAN
#define WIN32_NO_STATUS             /* windows.h and ntstatus.h both define some */
#include <windows.h>
#undef WIN32_NO_STATUS
#include <winternl.h>
#include <ntstatus.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#include "kshs_abi.h"

#define ARRAY_COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* ---- exit codes (docs/architecture.md) ---------------------------------- */
#define EXIT_DONE 0
#define EXIT_FAILED 1
#define EXIT_USAGE 2
#define EXIT_STREAM 3               /* serve: the stream or the host cannot be trusted */
#define EXIT_REBOOT 3010

#define CLIENT_SERVICE L"KsHsClient"
#define CLIENT_NT_PATH L"\\??\\KsHsClient"
#define SAMPLE_SERVICE L"avshs"

/* ---- text.c: text for people, files and paths --------------------------- */
void say(const wchar_t *format, ...);                       /* one line to stderr, UTF-8 */
void format_text(wchar_t *out, size_t count, const wchar_t *format, ...);
void format_text_v(wchar_t *out, size_t count, const wchar_t *format, va_list arguments);
void win32_text(DWORD code, wchar_t *out, size_t count);    /* "access denied (Win32 error 5)" */
char *utf8_from_wide(const wchar_t *text, size_t count, size_t *length);    /* malloc; NULL: no memory */
bool write_all(HANDLE handle, const void *data, size_t length);
bool own_directory(wchar_t *out, size_t count);             /* of this executable, no separator at the end */
bool driver_path(const wchar_t *name, wchar_t *out, size_t count); /* system32\drivers\NAME */
uint64_t now_ns(void);                                      /* performance counter */
uint64_t now_ms(void);

/* ---- json.c -------------------------------------------------------------- */
#define JSON_MAX_DEPTH 16
#define JSON_MAX_BYTES (1024 * 1024)

typedef struct json {
    char *text;
    size_t length;
    size_t capacity;
    size_t limit;                   /* it never grows beyond */
    unsigned depth;
    bool comma[JSON_MAX_DEPTH];     /* the next member of this level needs one */
    char closing[JSON_MAX_DEPTH];
    bool failed;                    /* too long, too deep or no memory: the text is not to be used */
} json;

/* In an array the key is NULL. */
void json_start(json *j, size_t limit);
void json_free(json *j);
void json_object(json *j, const char *key);
void json_array(json *j, const char *key);
void json_end(json *j);
void json_undo(json *j, const json *before);    /* to a copy of it, since which no level was closed that is open there */
void json_text(json *j, const char *key, const wchar_t *text);
void json_utf8(json *j, const char *key, const char *text);
void json_unsigned(json *j, const char *key, uint64_t value);
void json_hex(json *j, const char *key, uint64_t value);    /* as text: beyond 2^53 numbers are not portable */
void json_milliseconds(json *j, const char *key, uint64_t ns);
void json_bool(json *j, const char *key, bool value);
void json_null(json *j, const char *key);
void json_maybe(json *j, const char *key, int value);       /* 0 false, 1 true, anything else null */
bool json_print(json *j);                                   /* to stdout with a line end; frees */

/* ---- report.c: the one JSON object of a verb ------------------------------ */
#define REPORT_MAX_STEPS 24

typedef struct report {
    json body;                      /* an open object; verbs add their own members */
    struct {
        const char *name;
        uint64_t begin_ns;
        uint64_t duration_ns;
    } steps[REPORT_MAX_STEPS];
    unsigned count;
    bool failed;
    bool reboot;
    DWORD code;                     /* Win32 code of the failure, 0: none */
    wchar_t error[1024];
} report;

void report_start(report *r, const char *verb);
void report_step(report *r, const char *name);              /* ends the one before */
bool report_fail(report *r, DWORD code, const wchar_t *format, ...); /* always false */
int report_finish(report *r);                               /* prints; the exit code of the verb */

/* ---- verbs ---------------------------------------------------------------- */
typedef int (*verb_function)(int count, wchar_t **arguments);   /* arguments after the verb's name */

int verb_serve(int count, wchar_t **arguments);
int verb_hold(int count, wchar_t **arguments);
int verb_abi(int count, wchar_t **arguments);
int verb_info(int count, wchar_t **arguments);
int verb_ping(int count, wchar_t **arguments);
int verb_install_cert(int count, wchar_t **arguments);
int verb_uninstall_cert(int count, wchar_t **arguments);
int verb_install_ks(int count, wchar_t **arguments);
int verb_install_client(int count, wchar_t **arguments);
int verb_uninstall_client(int count, wchar_t **arguments);
int verb_install_device(int count, wchar_t **arguments);
int verb_install_component(int count, wchar_t **arguments);
int verb_stage_inf(int count, wchar_t **arguments);
int verb_uninstall_device(int count, wchar_t **arguments);
int verb_install_crash_recorder(int count, wchar_t **arguments);
int verb_crash(int count, wchar_t **arguments);
int verb_threads(int count, wchar_t **arguments);
int verb_modules(int count, wchar_t **arguments);
int verb_milestone(int count, wchar_t **arguments);
int verb_supervise(int count, wchar_t **arguments);
int verb_check_files(int count, wchar_t **arguments);
int verb_start_service(int count, wchar_t **arguments);
int verb_disable_service(int count, wchar_t **arguments);
int verb_settle(int count, wchar_t **arguments);
int verb_check_policy(int count, wchar_t **arguments);
int verb_verifier_check(int count, wchar_t **arguments);
int verb_device(int count, wchar_t **arguments);
int verb_setupapi_log(int count, wchar_t **arguments);
int verb_trace(int count, wchar_t **arguments);

/* ---- abi_layout.c ---------------------------------------------------------- */
const char *abi_layout_text(void);  /* lines end with \n */
#define HANDSHAKE_SIZE (sizeof(kshs_guid) + 2 * sizeof(void *))     /* KSHANDSHAKE of this pointer size (H10) */

/* ---- info.c ---------------------------------------------------------------- */
bool info_write(json *j, int services, wchar_t **names);    /* one object */

typedef struct policy_facts {       /* 0 no, 1 yes, -1: this guest cannot say */
    int test_signing, secure_boot, hvci;
} policy_facts;

void policy_read(policy_facts *facts);      /* as in force since the system started */

/* ---- interfaces.c, interface_cache.c -------------------------------------------- */
/* The NT path of instance INDEX of a device interface category.  Win32 code; ERROR_NO_MORE_ITEMS: no such instance. */
DWORD interface_look_up(const kshs_guid *category, uint32_t index, wchar_t *out, size_t count);
DWORD interface_path(const kshs_guid *category, uint32_t index, wchar_t *out, size_t count);    /* or as it was found */
void interface_forget(void);        /* the next path is looked up anew */

/* ---- devices.c ---------------------------------------------------------------- */
/* What KSHS_OP_DEVICE and uninstall-device do, to every device of a hardware id.  Win32 code. */
DWORD device_change(const wchar_t *hardware_id, uint32_t change, unsigned *changed, bool *reboot);

/* ---- files.c -------------------------------------------------------------------- */
typedef struct file_facts {
    bool present;
    bool has_version;
    unsigned version[4];
    wchar_t product[128];           /* ProductName of VERSIONINFO, empty if there is none */
    wchar_t company[128];
    char sha256[65];                /* empty if it cannot be computed */
} file_facts;

void file_examine(const wchar_t *path, file_facts *facts);
bool memory_sha256(const void *data, size_t bytes, char *text);     /* 65 characters; false: cannot be computed */
void json_file_version(json *j, const char *key, const file_facts *facts);
/* Replaces TARGET by SOURCE in one step, also while TARGET is mapped.  Win32 code. */
DWORD file_install(const wchar_t *source, const wchar_t *target, bool *changed);
DWORD file_read(const wchar_t *path, size_t limit, uint8_t **data, size_t *length);     /* malloc */

/* ---- services.c ------------------------------------------------------------------- */
/* Wine puts the drivers of one load order group into one process, as they must be to share file objects. */
#define WINE_GROUP L"WinePlugPlay"

typedef struct service_facts {
    bool present;
    DWORD state;                    /* SERVICE_RUNNING ... */
    wchar_t path[MAX_PATH * 2];     /* of the binary, as a Win32 path */
} service_facts;

void service_examine(const wchar_t *name, service_facts *facts);
const char *service_state_name(DWORD state);
DWORD service_start(const wchar_t *name, const wchar_t *path, const wchar_t *group);    /* creates, repairs, starts */
DWORD service_create(const wchar_t *name, const wchar_t *path, const wchar_t *group);   /* does not start it */
DWORD service_on_demand(const wchar_t *name);               /* somebody else starts it, not the system by itself */
DWORD service_stop(const wchar_t *name);                    /* done already is no error */
DWORD service_delete(const wchar_t *name);

/* ---- client.c: the handle to ksclient.sys ------------------------------------------ */
NTSTATUS client_open(HANDLE *handle);                       /* asynchronous */
NTSTATUS client_version(HANDLE handle, kshs_client_version *version, DWORD timeout_ms);
void json_client(json *j, const char *key);                 /* {"loaded": ..., "abi": ...} */

/* ---- crash.c, crash_report.c ----------------------------------------------------------- */
bool crash_file(wchar_t *out, size_t count);                /* crashes.jsonl beside this executable */
bool crash_append(json *line);                              /* one line, one write; frees */

#endif

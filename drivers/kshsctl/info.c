/* SPDX-License-Identifier: Apache-2.0
 *
 * info.c - what this guest is.  What it cannot say is null, never a guess.
 */
#include "missing_calls.h"
#include "nt.h"
#include "verifier.h"

#define CURRENT_VERSION L"SOFTWARE\\Microsoft\\Windows NT\\CurrentVersion"
#define MEMORY_MANAGEMENT L"SYSTEM\\CurrentControlSet\\Control\\Session Manager\\Memory Management"
#define SECURE_BOOT L"SYSTEM\\CurrentControlSet\\Control\\SecureBoot\\State"
#define HVCI L"SYSTEM\\CurrentControlSet\\Control\\DeviceGuard\\Scenarios\\HypervisorEnforcedCodeIntegrity"
#define OUR_KS_PRODUCT L"kshs reference ks.sys"

#define UNKNOWN (-1)

#define SYSTEM_CODE_INTEGRITY 103   /* NtQuerySystemInformation: SystemCodeIntegrityInformation */
#define CODE_INTEGRITY_TESTSIGN 0x02
#define CODE_INTEGRITY_HVCI 0x400
#define HVCI_FIRST_BUILD 10586      /* older kernels know no such flag */
#define SYSTEM_SECURE_BOOT 145      /* SystemSecureBootInformation, since NT 6.2 */

static bool registry_dword(const wchar_t *key, const wchar_t *name, DWORD *value)
{
    DWORD type, size = sizeof(*value);
    HKEY handle;
    bool found;

    if (RegOpenKeyExW(HKEY_LOCAL_MACHINE, key, 0, KEY_QUERY_VALUE | KEY_WOW64_64KEY, &handle))
        return false;
    found = !RegQueryValueExW(handle, name, NULL, &type, (BYTE *)value, &size) && type == REG_DWORD &&
            size == sizeof(*value);
    RegCloseKey(handle);
    return found;
}

/* The registry promises no NUL at the end. */
static bool registry_text(const wchar_t *key, const wchar_t *name, wchar_t *out, size_t count)
{
    DWORD type, size = (DWORD)((count - 1) * sizeof(wchar_t));
    HKEY handle;
    bool found;

    *out = 0;
    if (RegOpenKeyExW(HKEY_LOCAL_MACHINE, key, 0, KEY_QUERY_VALUE | KEY_WOW64_64KEY, &handle))
        return false;
    found = !RegQueryValueExW(handle, name, NULL, &type, (BYTE *)out, &size) && type == REG_SZ;
    RegCloseKey(handle);
    out[found ? size / sizeof(wchar_t) : 0] = 0;
    return found;
}

static const char *architecture(void)
{
    SYSTEM_INFO system;

    GetNativeSystemInfo(&system);
    switch (system.wProcessorArchitecture) {
    case PROCESSOR_ARCHITECTURE_AMD64: return "x86_64";
    case PROCESSOR_ARCHITECTURE_INTEL: return "i386";
    case 12: return "arm64";        /* PROCESSOR_ARCHITECTURE_ARM64, newer than some headers */
    default: return "unknown";
    }
}

/* A kernel that is not Microsoft's says so in its own file. */
static const char *family(void)
{
    wchar_t path[MAX_PATH];
    file_facts kernel;
    UINT length;

    if (nt_is_wine())
        return "wine";
    length = GetSystemDirectoryW(path, ARRAY_COUNT(path));
    if (!length || length + 16 > ARRAY_COUNT(path))
        return "nt";
    wcscat(path, L"\\ntoskrnl.exe");
    file_examine(path, &kernel);
    return wcsstr(kernel.company, L"Microsoft") ? "windows" : "nt";
}

static void write_kernel(json *j)
{
    RTL_OSVERSIONINFOW version;
    wchar_t name[128];
    DWORD ubr;

    memset(&version, 0, sizeof(version));
    version.dwOSVersionInfoSize = sizeof(version);
    json_object(j, "kernel");
    if (nt.rtl_get_version && NT_SUCCESS(nt.rtl_get_version(&version))) {
        json_unsigned(j, "major", version.dwMajorVersion);
        json_unsigned(j, "minor", version.dwMinorVersion);
        json_unsigned(j, "build", version.dwBuildNumber);
    } else {
        json_null(j, "major");
        json_null(j, "minor");
        json_null(j, "build");
    }
    if (registry_dword(CURRENT_VERSION, L"UBR", &ubr))
        json_unsigned(j, "ubr", ubr);
    else
        json_null(j, "ubr");
    if (registry_text(CURRENT_VERSION, L"ProductName", name, ARRAY_COUNT(name)))
        json_text(j, "name", name);
    else
        json_null(j, "name");
    json_utf8(j, "arch", architecture());
    json_end(j);
}

static void write_ks(json *j)
{
    wchar_t path[MAX_PATH + 16];
    file_facts facts;

    memset(&facts, 0, sizeof(facts));
    if (driver_path(L"ks.sys", path, ARRAY_COUNT(path)))
        file_examine(path, &facts);
    json_object(j, "ks");
    json_bool(j, "present", facts.present);
    json_bool(j, "ours", facts.present && !wcscmp(facts.product, OUR_KS_PRODUCT));
    json_file_version(j, "version", &facts);
    if (*facts.sha256)
        json_utf8(j, "sha256", facts.sha256);
    else
        json_null(j, "sha256");
    json_missing_calls(j, "unimplemented_calls", facts.present && !wcscmp(facts.product, OUR_KS_PRODUCT));
    json_end(j);
}

static void write_driver(json *j, const wchar_t *name)
{
    service_facts service;
    file_facts file;

    service_examine(name, &service);
    json_object(j, NULL);
    json_text(j, "service", name);
    json_utf8(j, "state", service.present ? service_state_name(service.state) : "absent");
    if (service.present) {
        json_text(j, "path", service.path);
        file_examine(service.path, &file);
    } else {
        json_null(j, "path");
        memset(&file, 0, sizeof(file));
    }
    json_file_version(j, "version", &file);
    if (*file.sha256)
        json_utf8(j, "sha256", file.sha256);
    else
        json_null(j, "sha256");
    json_end(j);
}

static void write_drivers(json *j, int services, wchar_t **names)
{
    int i;

    json_array(j, "drivers");
    write_driver(j, CLIENT_SERVICE);
    write_driver(j, SAMPLE_SERVICE);
    for (i = 0; i < services; i++)
        write_driver(j, names[i]);
    json_end(j);
}

/* Wine checks no signatures at all, so its answer means nothing. */
void policy_read(policy_facts *facts)
{
    struct {
        ULONG length, options;
    } integrity = { sizeof(integrity), 0 };
    struct {
        BOOLEAN enabled, capable;
    } boot = { FALSE, FALSE };
    RTL_OSVERSIONINFOW version;
    ULONG returned;
    DWORD value;

    facts->test_signing = facts->secure_boot = facts->hvci = UNKNOWN;
    if (nt_is_wine())
        return;
    memset(&version, 0, sizeof(version));
    version.dwOSVersionInfoSize = sizeof(version);
    if (nt.rtl_get_version)
        nt.rtl_get_version(&version);
    if (NT_SUCCESS(NtQuerySystemInformation((SYSTEM_INFORMATION_CLASS)SYSTEM_CODE_INTEGRITY, &integrity,
                                            sizeof(integrity), &returned))) {
        facts->test_signing = (integrity.options & CODE_INTEGRITY_TESTSIGN) != 0;
        if (version.dwBuildNumber >= HVCI_FIRST_BUILD)
            facts->hvci = (integrity.options & CODE_INTEGRITY_HVCI) != 0;
    }
    if (NT_SUCCESS(NtQuerySystemInformation((SYSTEM_INFORMATION_CLASS)SYSTEM_SECURE_BOOT, &boot, sizeof(boot),
                                            &returned)))
        facts->secure_boot = boot.enabled != 0;
    else if (registry_dword(SECURE_BOOT, L"UEFISecureBootEnabled", &value))
        facts->secure_boot = value != 0;
    if (facts->hvci == UNKNOWN && registry_dword(HVCI, L"Enabled", &value))
        facts->hvci = value != 0;
}

static void write_policy(json *j)
{
    policy_facts facts;

    policy_read(&facts);
    json_maybe(j, "test_signing", facts.test_signing);
    json_maybe(j, "secure_boot", facts.secure_boot);
    json_maybe(j, "hvci", facts.hvci);
}

/* flags and drivers as the registry has them; settings and active as verifier.exe says, asked only where there is
 * something set. */
static void write_verifier(json *j)
{
    wchar_t drivers[2048], *name, *rest;
    DWORD flags = 0;
    bool set;

    json_object(j, "verifier");
    registry_dword(MEMORY_MANAGEMENT, L"VerifyDriverLevel", &flags);
    json_unsigned(j, "flags", flags);
    json_array(j, "drivers");
    set = registry_text(MEMORY_MANAGEMENT, L"VerifyDrivers", drivers, ARRAY_COUNT(drivers)) && *drivers;
    for (name = drivers; set && *name; name = rest) {
        rest = name + wcscspn(name, L" ");
        if (*rest)
            *rest++ = 0;
        if (*name)
            json_text(j, NULL, name);
    }
    json_end(j);
    if (set || flags) {
        json_verifier(j, "settings", L"/querysettings");
        json_verifier(j, "active", L"/query");
    } else {
        json_null(j, "settings");
        json_null(j, "active");
    }
    json_end(j);
}

bool info_write(json *j, int services, wchar_t **names)
{
    unsigned i;

    json_object(j, NULL);
    json_object(j, "agent");
    json_unsigned(j, "abi", KSHS_ABI_VERSION);
    json_unsigned(j, "pointer_size", sizeof(void *));
    json_end(j);
    json_utf8(j, "family", family());
    if (nt_is_wine()) {
        json_object(j, "wine");
        json_utf8(j, "version", nt.wine_get_version());
        json_end(j);
    } else {
        json_null(j, "wine");
    }
    write_kernel(j);
    write_ks(j);
    write_drivers(j, services, names);
    json_client(j, "client");
    write_policy(j);
    write_verifier(j);
    json_array(j, "missing_apis");
    for (i = 0; i < nt.missing_count; i++)
        json_utf8(j, NULL, nt.missing[i]);
    json_end(j);
    json_end(j);
    return !j->failed;
}

int verb_info(int count, wchar_t **arguments)
{
    json j;

    json_start(&j, JSON_MAX_BYTES);
    info_write(&j, count, arguments);
    return json_print(&j) ? EXIT_DONE : EXIT_FAILED;
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * verifier.c - what verifier.exe says of Driver Verifier.
 *
 * /querysettings says what is set (and in force from the next start on),
 * /query what is in force, and how often each driver was loaded under it.  The
 * words are in the system's language; what is not is read here: a box before
 * the number of each flag, the drivers' file names, and the two numbers behind
 * such a name, "MODULE: avshs.sys (load: 1 / unload: 0)".
 */
#include "verifier.h"

#define OUTPUT_LIMIT (256 * 1024)
#define PATIENCE_MS 20000

/* Everything that matters is ASCII; the rest becomes question marks. */
static size_t narrow(uint8_t *text, size_t length)
{
    size_t i, used = 0;
    bool utf16 = length >= 2 && ((text[0] == 0xff && text[1] == 0xfe) || (text[0] && !text[1]));

    if (!utf16)
        return length;
    for (i = 0; i + 1 < length; i += 2) {
        uint8_t low = text[i], high = text[i + 1];

        text[used++] = high || low >= 0x80 ? '?' : low;
    }
    return used;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == ',' || c == ';';
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool read_hex(const char *at, const char *end, uint64_t *out)
{
    const char *digit = at + 2;
    uint64_t value = 0;

    if (end - at < 3 || at[0] != '0' || lower(at[1]) != 'x')
        return false;
    for (; digit < end; digit++) {
        char c = lower(*digit);

        if (is_digit(c))
            value = value << 4 | (uint64_t)(c - '0');
        else if (c >= 'a' && c <= 'f')
            value = value << 4 | (uint64_t)(c - 'a' + 10);
        else
            break;
    }
    *out = value;
    return digit > at + 2 && digit - at <= 18;
}

/* "[X] 0x00000001 Special pool." sets a flag, "[ ] 0x..." only shows that there are boxes. */
static bool line_flag(const char *at, const char *end, bool *set, uint64_t *flag)
{
    while (at < end && is_space(*at))
        at++;
    if (end - at < 6 || at[0] != '[' || at[2] != ']')
        return false;
    *set = lower(at[1]) == 'x';
    at += 3;
    while (at < end && is_space(*at))
        at++;
    return read_hex(at, end, flag);
}

static uint64_t read_flags(const char *text, size_t length, bool *found)
{
    const char *at = text, *end = text + length, *line_end;
    uint64_t flags = 0, flag;
    bool set;

    *found = false;
    for (; at < end; at = line_end + 1) {
        for (line_end = at; line_end < end && *line_end != '\n'; line_end++)
            ;
        if (line_flag(at, line_end, &set, &flag)) {
            *found = true;
            if (set)
                flags |= flag;
        }
    }
    if (*found)
        return flags;
    /* Older systems give one number: "Flags: 0x000209bb". */
    for (at = text; at < end; at++)
        if (read_hex(at, end, &flag)) {
            *found = true;
            return flag;
        }
    return 0;
}

/* The next number of the line, -1 if there is none. */
static int next_number(const char **at, const char *end)
{
    int value = 0;

    while (*at < end && **at != '\n' && !is_digit(**at))
        ++*at;
    if (*at == end || **at == '\n')
        return -1;
    for (; *at < end && is_digit(**at); ++*at)
        value = value < 100000000 ? value * 10 + (**at - '0') : value;
    return value;
}

static bool add_driver(verifier_drivers *drivers, const char *name, size_t length, const char *end)
{
    const char *rest = name + length;
    unsigned i, last = drivers->count;
    int loads = -1, unloads = -1;
    size_t c;

    if (length >= VERIFIER_NAME_LENGTH || last == VERIFIER_MOST_DRIVERS)
        return false;
    for (c = 0; c < length; c++)
        drivers->driver[last].name[c] = lower(name[c]);
    drivers->driver[last].name[length] = 0;
    while (rest < end && (*rest == ' ' || *rest == '\t'))
        rest++;
    if (rest < end && *rest == '(') {
        loads = next_number(&rest, end);
        unloads = next_number(&rest, end);
    }
    drivers->driver[last].loads = unloads < 0 ? -1 : loads;     /* one number is anything */
    drivers->driver[last].unloads = unloads;
    for (i = 0; i < last; i++)
        if (!strcmp(drivers->driver[i].name, drivers->driver[last].name))
            return true;
    drivers->count++;
    return true;
}

/* Words that end as a driver's file name does. */
static bool find_drivers(const char *text, size_t length, verifier_drivers *drivers)
{
    const char *at = text, *end = text + length, *word;

    while (at < end) {
        for (word = at; at < end && !is_space(*at); at++)
            ;
        if (at - word > 4 && at[-4] == '.' && lower(at[-3]) == 's' && lower(at[-2]) == 'y' && lower(at[-1]) == 's' &&
            !add_driver(drivers, word, (size_t)(at - word), end))
            return false;
        at++;
    }
    return true;
}

void verifier_read(uint8_t *text, size_t length, verifier_facts *facts)
{
    memset(facts, 0, sizeof(*facts));
    length = narrow(text, length);
    facts->flags = read_flags((const char *)text, length, &facts->flags_found);
    facts->too_many = !find_drivers((const char *)text, length, &facts->drivers);
}

static DWORD run_verifier(const wchar_t *option, HANDLE output)
{
    SECURITY_ATTRIBUTES inherited = { sizeof(inherited), NULL, TRUE };
    PROCESS_INFORMATION process;
    STARTUPINFOW startup;
    wchar_t command[64];
    DWORD error = ERROR_SUCCESS;

    format_text(command, ARRAY_COUNT(command), L"verifier.exe %ls", option);
    memset(&startup, 0, sizeof(startup));
    startup.cb = sizeof(startup);
    startup.dwFlags = STARTF_USESTDHANDLES;
    startup.hStdInput = CreateFileW(L"NUL", GENERIC_READ, FILE_SHARE_READ | FILE_SHARE_WRITE, &inherited,
                                    OPEN_EXISTING, 0, NULL);
    startup.hStdOutput = startup.hStdError = output;
    if (startup.hStdInput == INVALID_HANDLE_VALUE)
        return GetLastError();
    if (!CreateProcessW(NULL, command, NULL, NULL, TRUE, 0, NULL, NULL, &startup, &process))
        error = GetLastError();
    CloseHandle(startup.hStdInput);
    if (error)
        return error;
    if (WaitForSingleObject(process.hProcess, PATIENCE_MS) != WAIT_OBJECT_0) {
        TerminateProcess(process.hProcess, 1);
        error = ERROR_TIMEOUT;
    }
    CloseHandle(process.hThread);
    CloseHandle(process.hProcess);
    return error;
}

DWORD verifier_ask(const wchar_t *option, verifier_facts *facts)
{
    SECURITY_ATTRIBUTES inherited = { sizeof(inherited), NULL, TRUE };
    wchar_t folder[MAX_PATH], path[MAX_PATH + 48];
    LARGE_INTEGER size, begin;
    uint8_t *text = NULL;
    HANDLE output;
    DWORD error, got = 0;

    memset(facts, 0, sizeof(*facts));
    if (!own_directory(folder, ARRAY_COUNT(folder)))
        return ERROR_FILENAME_EXCED_RANGE;
    /* A file, not a pipe: nobody has to read while verifier writes. */
    format_text(path, ARRAY_COUNT(path), L"%ls\\verifier-%lu.tmp", folder, GetCurrentProcessId());
    output = CreateFileW(path, GENERIC_READ | GENERIC_WRITE, FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE,
                         &inherited, CREATE_ALWAYS, FILE_ATTRIBUTE_TEMPORARY | FILE_FLAG_DELETE_ON_CLOSE, NULL);
    if (output == INVALID_HANDLE_VALUE)
        return GetLastError();
    error = run_verifier(option, output);
    begin.QuadPart = 0;
    if (!error && (!GetFileSizeEx(output, &size) || !SetFilePointerEx(output, begin, NULL, FILE_BEGIN)))
        error = GetLastError();
    if (!error && (size.QuadPart <= 0 || size.QuadPart > OUTPUT_LIMIT))
        error = ERROR_BAD_LENGTH;
    if (!error && (text = malloc((size_t)size.QuadPart)) == NULL)
        error = ERROR_NOT_ENOUGH_MEMORY;
    if (!error && !ReadFile(output, text, (DWORD)size.QuadPart, &got, NULL))
        error = GetLastError();
    CloseHandle(output);
    if (!error)
        verifier_read(text, got, facts);
    free(text);
    if (!error && (!facts->flags_found || facts->too_many))
        error = ERROR_INVALID_DATA;
    return error;
}

static void json_count(json *j, const char *key, int count)
{
    if (count < 0)
        json_null(j, key);
    else
        json_unsigned(j, key, (uint64_t)count);
}

void json_verifier(json *j, const char *key, const wchar_t *option)
{
    verifier_facts *facts = malloc(sizeof(*facts));
    unsigned i;

    if (!facts || verifier_ask(option, facts)) {
        json_null(j, key);
        free(facts);
        return;
    }
    json_object(j, key);
    json_unsigned(j, "flags", facts->flags);
    json_array(j, "drivers");
    for (i = 0; i < facts->drivers.count; i++) {
        json_object(j, NULL);
        json_utf8(j, "name", facts->drivers.driver[i].name);
        json_count(j, "loads", facts->drivers.driver[i].loads);
        json_count(j, "unloads", facts->drivers.driver[i].unloads);
        json_end(j);
    }
    json_end(j);
    json_end(j);
    free(facts);
}

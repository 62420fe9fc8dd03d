/* SPDX-License-Identifier: Apache-2.0
 *
 * milestone.c - how far the set-up of a guest has come, told to the host.
 *
 * Setup is blind: there is no network yet, and what the screen shows is for
 * people.  COM1 takes single lines whose grammar is docs/windows.md, written
 * here and nowhere else.
 */
#include "provision.h"

#define PREFIX "KSHS 1 "
#define PORT_NAME L"\\\\.\\COM1"
#define LOG_NAME L"\\provision.log"
#define LINE_LENGTH 240             /* with the prefix, without the line end */
#define CUT_MARK " \\..."
#define TAIL_BYTES 8192
#define TAIL_LINES 40
#define OPEN_PATIENCE_MS 5000       /* another line may be on its way, a virus scanner may look into the log */
#define OPEN_PAUSE_MS 50
#define WRITE_PATIENCE_MS 10000

typedef struct text_buffer {
    size_t used;
    char bytes[(TAIL_LINES + 4) * (LINE_LENGTH + 4)];
} text_buffer;

static void add(text_buffer *out, const char *bytes, size_t length)
{
    if (length > sizeof(out->bytes) - out->used)
        length = sizeof(out->bytes) - out->used;
    memcpy(out->bytes + out->used, bytes, length);
    out->used += length;
}

static void add_text(text_buffer *out, const char *text)
{
    add(out, text, strlen(text));
}

/* The empty line before it ends whatever firmware left there. */
static void add_line(text_buffer *out, const char *text)
{
    add_text(out, "\r\n" PREFIX);
    add_text(out, text);
    add_text(out, "\r\n");
}

static HANDLE open_patiently(const wchar_t *path, DWORD access, DWORD share, DWORD disposition)
{
    uint64_t until = now_ms() + OPEN_PATIENCE_MS;

    for (;;) {
        HANDLE file = CreateFileW(path, access, share, NULL, disposition, FILE_ATTRIBUTE_NORMAL, NULL);

        if (file != INVALID_HANDLE_VALUE)
            return file;
        if ((GetLastError() != ERROR_SHARING_VIOLATION && GetLastError() != ERROR_ACCESS_DENIED) || now_ms() >= until)
            return file;
        Sleep(OPEN_PAUSE_MS);
    }
}

/* ---- the port -------------------------------------------------------------- */

static DWORD write_port(const text_buffer *text)
{
    COMMTIMEOUTS timeouts;
    HANDLE port = open_patiently(PORT_NAME, GENERIC_READ | GENERIC_WRITE, 0, OPEN_EXISTING);
    DWORD error = ERROR_SUCCESS;
    DCB line;

    if (port == INVALID_HANDLE_VALUE)
        return GetLastError();
    memset(&line, 0, sizeof(line));
    line.DCBlength = sizeof(line);
    if (GetCommState(port, &line)) {
        line.BaudRate = CBR_115200;
        line.ByteSize = 8;
        line.Parity = NOPARITY;
        line.StopBits = ONESTOPBIT;
        line.fBinary = TRUE;
        line.fOutxCtsFlow = line.fOutxDsrFlow = line.fOutX = line.fInX = FALSE;    /* nobody answers there */
        SetCommState(port, &line);      /* a port that is no UART has no such state, and writes all the same */
    }
    memset(&timeouts, 0, sizeof(timeouts));
    timeouts.WriteTotalTimeoutConstant = WRITE_PATIENCE_MS;
    SetCommTimeouts(port, &timeouts);
    SetLastError(ERROR_SUCCESS);
    if (write_all(port, text->bytes, text->used))
        FlushFileBuffers(port);         /* the guest may be switched off next */
    else
        error = GetLastError() ? GetLastError() : ERROR_SEM_TIMEOUT;    /* a write that ran out of time is no error */
    CloseHandle(port);
    return error;
}

/* ---- the log ---------------------------------------------------------------- */

static DWORD write_log(const char *text)
{
    wchar_t path[MAX_PATH + 16];
    DWORD error = ERROR_SUCCESS;
    text_buffer line;
    HANDLE file;

    line.used = 0;
    if (!own_directory(path, MAX_PATH))
        return ERROR_FILENAME_EXCED_RANGE;
    wcscat(path, LOG_NAME);
    file = open_patiently(path, FILE_APPEND_DATA | SYNCHRONIZE, FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE,
                          OPEN_ALWAYS);
    if (file == INVALID_HANDLE_VALUE)
        return GetLastError();
    add_text(&line, PREFIX);
    add_text(&line, text);
    add_text(&line, "\r\n");
    if (!write_all(file, line.bytes, line.used) || !FlushFileBuffers(file))
        error = GetLastError();
    CloseHandle(file);
    return error;
}

static void add_log_line(text_buffer *out, const char *bytes, size_t length)
{
    static const char hex[] = "0123456789abcdef";
    char line[LINE_LENGTH + 1] = "log ";
    const size_t limit = LINE_LENGTH - (sizeof(PREFIX) - 1) - (sizeof(CUT_MARK) - 1);
    size_t used = strlen(line), i;

    for (i = 0; i < length; i++) {
        unsigned char c = (unsigned char)bytes[i];
        char escape[4];
        size_t need;

        if (c == '\\') {
            escape[0] = escape[1] = '\\';
            need = 2;
        } else if (c >= 0x20 && c < 0x7f) {
            escape[0] = (char)c;
            need = 1;
        } else {
            escape[0] = '\\';
            escape[1] = 'x';
            escape[2] = hex[c >> 4];
            escape[3] = hex[c & 15];
            need = 4;
        }
        if (used + need > limit)
            break;
        memcpy(line + used, escape, need);
        used += need;
    }
    line[used] = 0;
    if (i < length)
        strcat(line, CUT_MARK);
    add_line(out, line);
}

/* The step's own lines are those after its last "begin"; what was there before is known already. */
static size_t own_lines(const char *log, size_t length, const char *name)
{
    char mark[sizeof(PREFIX) + MILESTONE_NAME + 16];
    size_t at, size, found = 0;

    snprintf(mark, sizeof(mark), PREFIX "begin %s\r\n", name);
    size = strlen(mark);
    for (at = 0; at + size <= length; at++)
        if ((!at || log[at - 1] == '\n') && !memcmp(log + at, mark, size))
            found = at + size;
    return found;
}

static void add_tail_lines(text_buffer *out, const char *log, size_t length)
{
    const char *starts[TAIL_LINES];
    size_t lengths[TAIL_LINES], count = 0, at = 0, i;

    while (at < length) {
        size_t end = at, next;

        while (end < length && log[end] != '\n')
            end++;
        next = end + 1;
        while (end > at && (log[end - 1] == '\r' || log[end - 1] == ' '))
            end--;
        if (end > at) {
            starts[count % TAIL_LINES] = log + at;
            lengths[count % TAIL_LINES] = end - at;
            count++;
        }
        at = next;
    }
    for (i = count > TAIL_LINES ? count - TAIL_LINES : 0; i < count; i++)
        add_log_line(out, starts[i % TAIL_LINES], lengths[i % TAIL_LINES]);
}

static void add_tail(text_buffer *out, const char *name, const wchar_t *path)
{
    HANDLE file = open_patiently(path, GENERIC_READ, FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE,
                                 OPEN_EXISTING);
    char *log = malloc(TAIL_BYTES), line[MILESTONE_NAME + 16];
    size_t first = 0;
    LARGE_INTEGER size, start;
    DWORD got = 0;

    snprintf(line, sizeof(line), "log-begin %s", name);
    add_line(out, line);
    if (file != INVALID_HANDLE_VALUE && log && GetFileSizeEx(file, &size)) {
        start.QuadPart = size.QuadPart > TAIL_BYTES ? size.QuadPart - TAIL_BYTES : 0;
        if (!SetFilePointerEx(file, start, NULL, FILE_BEGIN) || !ReadFile(file, log, TAIL_BYTES, &got, NULL))
            got = 0;
        while (start.QuadPart && first < got && log[first++] != '\n')
            ;                           /* half a line */
        first += own_lines(log + first, got - first, name);
        add_tail_lines(out, log + first, got - first);
    }
    if (file != INVALID_HANDLE_VALUE)
        CloseHandle(file);
    free(log);
    snprintf(line, sizeof(line), "log-end %s", name);
    add_line(out, line);
}

/* ---- the verb ------------------------------------------------------------------ */

DWORD milestone_write(const char *text, const char *name, const wchar_t *tail, milestone_port *port)
{
    text_buffer *out = malloc(sizeof(*out));
    DWORD error;

    port->written = false;
    port->error = ERROR_NOT_ENOUGH_MEMORY;
    if (!out)
        return write_log(text);
    out->used = 0;
    add_line(out, text);
    if (tail)
        add_tail(out, name, tail);      /* before this line is in that log itself */
    error = write_log(text);
    port->error = write_port(out);
    port->written = !port->error;
    free(out);
    return port->written ? ERROR_SUCCESS : error;
}

void json_milestone_port(json *j, const milestone_port *port)
{
    json_bool(j, "port", port->written);
    json_unsigned(j, "port_error", port->error);
}

static bool step_name(const wchar_t *text, char *out)
{
    size_t i;

    for (i = 0; text[i]; i++) {
        bool letter = text[i] >= L'a' && text[i] <= L'z';

        if (i == MILESTONE_NAME || (!letter && (!i || (text[i] != L'-' && (text[i] < L'0' || text[i] > L'9')))))
            return false;
        out[i] = (char)text[i];
    }
    out[i] = 0;
    return i > 0;
}

static bool number(const wchar_t *text, uint64_t most, unsigned long *out)
{
    uint64_t value = 0;
    size_t i;

    for (i = 0; text[i]; i++) {
        if (text[i] < L'0' || text[i] > L'9' || (i && !value) || i > 10)
            return false;
        value = value * 10 + (uint64_t)(text[i] - L'0');
    }
    *out = (unsigned long)value;
    return i > 0 && value <= most;
}

/* Negative exit codes (NTSTATUS of a program that crashed) are how cmd shows them: told as they are unsigned. */
static bool exit_code(const wchar_t *text, unsigned long *out)
{
    if (text[0] != L'-')
        return number(text, 0xffffffffu, out);
    if (!number(text + 1, 0x80000000u, out) || !*out)
        return false;
    *out = (unsigned long)(0u - (uint32_t)*out);
    return true;
}

static bool compose(int count, wchar_t **arguments, char *text, size_t size, char *name)
{
    static const struct {
        const wchar_t *kind;
        int arguments;              /* without the kind */
    } kinds[] = { { L"start", 1 }, { L"begin", 1 }, { L"done", 1 }, { L"reboot", 1 }, { L"failed", 3 },
                  { L"sealed", 0 } };
    unsigned long value;
    size_t k;

    for (k = 0; k < ARRAY_COUNT(kinds); k++)
        if (!wcscmp(arguments[0], kinds[k].kind))
            break;
    if (k == ARRAY_COUNT(kinds) || count - 1 != kinds[k].arguments)
        return false;
    if (!kinds[k].arguments) {
        snprintf(text, size, "%ls", arguments[0]);
        return true;
    }
    if (!wcscmp(arguments[0], L"start")) {
        if (!number(arguments[1], 9999, &value) || !value)
            return false;
        snprintf(text, size, "start %lu", value);
        return true;
    }
    if (!step_name(arguments[1], name))
        return false;
    if (kinds[k].arguments == 1) {
        snprintf(text, size, "%ls %s", arguments[0], name);
        return true;
    }
    if (!exit_code(arguments[2], &value))
        return false;
    snprintf(text, size, "failed %s %lu", name, value);
    return true;
}

/*
 * Whoever hears of a failure may cut the guest off; hives are written lazily
 * (RegFlushKey: "when the operating system's lazy flusher" does), and the Run
 * key that goes on with provisioning may be new.
 */
static void keep_registry(void)
{
    static const wchar_t *const hives[] = { L"SOFTWARE", L"SYSTEM" };
    size_t i;
    HKEY key;

    for (i = 0; i < ARRAY_COUNT(hives); i++) {
        if (RegOpenKeyExW(HKEY_LOCAL_MACHINE, hives[i], 0, KEY_READ, &key))
            continue;
        RegFlushKey(key);
        RegCloseKey(key);
    }
}

int verb_milestone(int count, wchar_t **arguments)
{
    char text[MILESTONE_NAME + 32], name[MILESTONE_NAME + 1] = "";
    milestone_port port;
    DWORD error;
    report r;

    if (!compose(count, arguments, text, sizeof(text), name)) {
        say(L"usage: kshsctl milestone start BOOT | begin NAME | done NAME | reboot NAME | failed NAME CODE LOG | sealed");
        say(L"       NAME: a lower-case letter, then letters, digits and hyphens, at most %u", MILESTONE_NAME);
        return EXIT_USAGE;
    }
    report_start(&r, "milestone");
    report_step(&r, "write");
    if (!wcscmp(arguments[0], L"failed"))
        keep_registry();
    error = milestone_write(text, name, count == 4 ? arguments[3] : NULL, &port);
    json_utf8(&r.body, "line", text);
    json_milestone_port(&r.body, &port);
    if (error)
        report_fail(&r, error, L"the line could be written neither to COM1 nor to the log");
    return report_finish(&r);
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * verifier_check.c - whether Driver Verifier is set as it was asked to be.
 *
 * Read from the output of verifier /querysettings, whose words are in the
 * system's language; what is not is read here: a box before the number of each
 * flag, and the drivers' file names.  Rule class N up to 32 is flag
 * 1 << (N - 1) (the reference of verifier lists both); what stands for the
 * classes above is not documented, so these are said to be not shown.
 */
#include "kshsctl.h"

#define SETTINGS_LIMIT (256 * 1024)
#define MOST_CLASS 64
#define MOST_DRIVERS 64
#define NAME_LENGTH 64

typedef struct driver_names {
    unsigned count;
    char names[MOST_DRIVERS][NAME_LENGTH];
} driver_names;

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

static bool read_hex(const char *at, const char *end, uint64_t *out)
{
    const char *digit = at + 2;
    uint64_t value = 0;

    if (end - at < 3 || at[0] != '0' || lower(at[1]) != 'x')
        return false;
    for (; digit < end; digit++) {
        char c = lower(*digit);

        if (c >= '0' && c <= '9')
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

static uint64_t settings_flags(const char *text, size_t length, bool *found)
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

static bool add_driver(driver_names *drivers, const char *name, size_t length)
{
    unsigned i;
    size_t c;

    if (length >= NAME_LENGTH || drivers->count == MOST_DRIVERS)
        return false;
    for (c = 0; c < length; c++)
        drivers->names[drivers->count][c] = lower(name[c]);
    drivers->names[drivers->count][length] = 0;
    for (i = 0; i < drivers->count; i++)
        if (!strcmp(drivers->names[i], drivers->names[drivers->count]))
            return true;
    drivers->count++;
    return true;
}

/* Words that end as a driver's file name does. */
static bool find_drivers(const char *text, size_t length, driver_names *drivers)
{
    size_t at = 0;

    drivers->count = 0;
    while (at < length) {
        size_t end = at;

        while (end < length && !is_space(text[end]))
            end++;
        if (end - at > 4 && text[end - 4] == '.' && lower(text[end - 3]) == 's' && lower(text[end - 2]) == 'y' &&
            lower(text[end - 1]) == 's' && !add_driver(drivers, text + at, end - at))
            return false;
        at = end + 1;
    }
    return true;
}

static bool ascii(const wchar_t *text, char *out, size_t count)
{
    size_t i;

    for (i = 0; text[i]; i++) {
        if (i + 1 >= count || text[i] < 0x20 || text[i] > 0x7e)
            return false;
        out[i] = (char)text[i];
    }
    out[i] = 0;
    return true;
}

static bool parse_classes(const char *text, bool *classes)
{
    unsigned found = 0;

    while (*text) {
        char *end;
        unsigned long value;

        if (is_space(*text)) {
            text++;
            continue;
        }
        if (*text < '0' || *text > '9')
            return false;
        value = strtoul(text, &end, 10);
        if (!value || value > MOST_CLASS || (*end && !is_space(*end)))
            return false;
        classes[value] = true;
        found++;
        text = end;
    }
    return found > 0;
}

static bool has(const driver_names *drivers, const char *name)
{
    unsigned i;

    for (i = 0; i < drivers->count; i++)
        if (!strcmp(drivers->names[i], name))
            return true;
    return false;
}

static unsigned list_difference(json *j, const char *key, const driver_names *those, const driver_names *without)
{
    unsigned i, count = 0;

    json_array(j, key);
    for (i = 0; i < those->count; i++)
        if (!has(without, those->names[i])) {
            json_utf8(j, NULL, those->names[i]);
            count++;
        }
    json_end(j);
    return count;
}

static void compare(report *r, const bool *classes, const driver_names *asked, const char *text, size_t length)
{
    static driver_names found;
    bool flags_found;
    uint64_t flags = settings_flags(text, length, &flags_found), expected = 0;
    unsigned n, missing = 0, absent, extra;

    if (!flags_found) {
        report_fail(r, ERROR_INVALID_DATA, L"the settings name no flags: this is no output of verifier /querysettings");
        return;
    }
    if (!find_drivers(text, length, &found)) {
        report_fail(r, ERROR_INVALID_DATA, L"the settings name more than %u drivers, or one with a longer name than %u",
                    MOST_DRIVERS, NAME_LENGTH);
        return;
    }
    json_hex(&r->body, "flags", flags);
    json_array(&r->body, "missing_classes");
    for (n = 1; n <= 32; n++) {
        if (!classes[n])
            continue;
        expected |= (uint64_t)1 << (n - 1);
        if (!(flags & (uint64_t)1 << (n - 1))) {
            json_unsigned(&r->body, NULL, n);
            missing++;
        }
    }
    json_end(&r->body);
    json_array(&r->body, "classes_not_shown");
    for (n = 33; n <= MOST_CLASS; n++)
        if (classes[n])
            json_unsigned(&r->body, NULL, n);
    json_end(&r->body);
    json_hex(&r->body, "other_flags", flags & ~expected);   /* Verifier sets some of its own accord */
    absent = list_difference(&r->body, "missing_drivers", asked, &found);
    extra = list_difference(&r->body, "other_drivers", &found, asked);
    if (missing || absent || extra)
        report_fail(r, 0,
                    L"Driver Verifier is not set as asked: %u rule classes missing, %u drivers missing, %u too many",
                    missing, absent, extra);
}

int verb_verifier_check(int count, wchar_t **arguments)
{
    static driver_names asked;
    bool classes[MOST_CLASS + 1] = { false };
    char text[MOST_DRIVERS * NAME_LENGTH];
    uint8_t *settings = NULL;
    size_t length = 0;
    DWORD error;
    report r;

    (void)count;
    if (!ascii(arguments[1], text, sizeof(text)) || !parse_classes(text, classes) ||
        !ascii(arguments[2], text, sizeof(text)) || !find_drivers(text, strlen(text), &asked) || !asked.count) {
        say(L"usage: kshsctl verifier-check FILE \"CLASS...\" \"DRIVER.sys...\"");
        return EXIT_USAGE;
    }
    report_start(&r, "verifier-check");
    report_step(&r, "read");
    error = file_read(arguments[0], SETTINGS_LIMIT, &settings, &length);
    if (error) {
        report_fail(&r, error, L"%ls cannot be read", arguments[0]);
        return report_finish(&r);
    }
    length = narrow(settings, length);
    report_step(&r, "compare");
    compare(&r, classes, &asked, (const char *)settings, length);
    free(settings);
    return report_finish(&r);
}

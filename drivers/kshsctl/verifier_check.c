/* SPDX-License-Identifier: Apache-2.0
 *
 * verifier_check.c - whether Driver Verifier is set as it was asked to be.
 *
 * Rule class N up to 32 is flag 1 << (N - 1) (the reference of verifier lists
 * both); what stands for the classes above is not documented, so these are
 * said to be not shown.
 */
#include "verifier.h"

#define SETTINGS_LIMIT (256 * 1024)
#define MOST_CLASS 64

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

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == ',' || c == ';';
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

static bool has(const verifier_drivers *drivers, const char *name)
{
    unsigned i;

    for (i = 0; i < drivers->count; i++)
        if (!strcmp(drivers->driver[i].name, name))
            return true;
    return false;
}

static unsigned list_difference(json *j, const char *key, const verifier_drivers *those, const verifier_drivers *without)
{
    unsigned i, count = 0;

    json_array(j, key);
    for (i = 0; i < those->count; i++)
        if (!has(without, those->driver[i].name)) {
            json_utf8(j, NULL, those->driver[i].name);
            count++;
        }
    json_end(j);
    return count;
}

static void compare(report *r, const bool *classes, const verifier_drivers *asked, const verifier_facts *facts)
{
    uint64_t flags = facts->flags, expected = 0;
    unsigned n, missing = 0, absent, extra;

    if (!facts->flags_found) {
        report_fail(r, ERROR_INVALID_DATA, L"the settings name no flags: this is no output of verifier /querysettings");
        return;
    }
    if (facts->too_many) {
        report_fail(r, ERROR_INVALID_DATA, L"the settings name more than %u drivers, or one with a longer name than %u",
                    VERIFIER_MOST_DRIVERS, VERIFIER_NAME_LENGTH);
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
    absent = list_difference(&r->body, "missing_drivers", asked, &facts->drivers);
    extra = list_difference(&r->body, "other_drivers", &facts->drivers, asked);
    if (missing || absent || extra)
        report_fail(r, 0,
                    L"Driver Verifier is not set as asked: %u rule classes missing, %u drivers missing, %u too many",
                    missing, absent, extra);
}

int verb_verifier_check(int count, wchar_t **arguments)
{
    static verifier_facts asked, found;
    bool classes[MOST_CLASS + 1] = { false };
    char text[VERIFIER_MOST_DRIVERS * VERIFIER_NAME_LENGTH];
    uint8_t *settings = NULL;
    size_t length = 0;
    DWORD error;
    report r;

    (void)count;
    if (ascii(arguments[2], text, sizeof(text)))
        verifier_read((uint8_t *)text, strlen(text), &asked);
    if (!asked.drivers.count || asked.too_many || !ascii(arguments[1], text, sizeof(text)) ||
        !parse_classes(text, classes)) {
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
    verifier_read(settings, length, &found);
    free(settings);
    report_step(&r, "compare");
    compare(&r, classes, &asked.drivers, &found);
    return report_finish(&r);
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * report.c - the one JSON object that a verb prints: ok, its own members, the
 * steps with their times and, after a failure, step, error and detail.
 */
#include "kshsctl.h"
#include <stdarg.h>

static void end_step(report *r)
{
    if (r->count)
        r->steps[r->count - 1].duration_ns = now_ns() - r->steps[r->count - 1].begin_ns;
}

void report_start(report *r, const char *verb)
{
    memset(r, 0, sizeof(*r));
    json_start(&r->body, JSON_MAX_BYTES);
    json_object(&r->body, NULL);
    json_utf8(&r->body, "verb", verb);
}

void report_step(report *r, const char *name)
{
    end_step(r);
    if (r->count == REPORT_MAX_STEPS)   /* the last place is reused: the newest step matters most */
        r->count--;
    r->steps[r->count].name = name;
    r->steps[r->count].begin_ns = now_ns();
    r->count++;
}

bool report_fail(report *r, DWORD code, const wchar_t *format, ...)
{
    va_list arguments;

    if (r->failed)                      /* the first failure is the cause */
        return false;
    va_start(arguments, format);
    format_text_v(r->error, ARRAY_COUNT(r->error), format, arguments);
    va_end(arguments);
    r->failed = true;
    r->code = code;
    return false;
}

int report_finish(report *r)
{
    const char *step = r->count ? r->steps[r->count - 1].name : "arguments";
    wchar_t detail[640] = L"";
    unsigned i;

    end_step(r);
    json_bool(&r->body, "ok", !r->failed);
    json_bool(&r->body, "reboot", r->reboot);
    if (r->failed) {
        if (r->code)
            win32_text(r->code, detail, ARRAY_COUNT(detail));
        json_utf8(&r->body, "step", step);
        json_text(&r->body, "error", r->error);
        json_text(&r->body, "detail", detail);
        json_unsigned(&r->body, "code", r->code);
        say(L"kshsctl: %ls%ls%ls", r->error, *detail ? L": " : L"", detail);
    }
    json_array(&r->body, "steps");
    for (i = 0; i < r->count; i++) {
        json_object(&r->body, NULL);
        json_utf8(&r->body, "step", r->steps[i].name);
        json_milliseconds(&r->body, "ms", r->steps[i].duration_ns);
        json_end(&r->body);
    }
    json_end(&r->body);
    if (!json_print(&r->body))
        return EXIT_FAILED;
    if (r->failed)
        return EXIT_FAILED;
    return r->reboot ? EXIT_REBOOT : EXIT_DONE;
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * trace_rescued.c - what the crash recorder has saved of a tracer's ring (trace_rescue.c).
 */
#include "trace.h"

#define MOST_LINES (64u << 20)

bool trace_rescued(bytes *lines)
{
    wchar_t path[MAX_PATH + 32];
    uint8_t *data = NULL;
    size_t length = 0;

    if (!trace_crash_path(path, ARRAY_COUNT(path)) || file_read(path, MOST_LINES, &data, &length))
        return false;
    bytes_add(lines, data, length);
    free(data);
    return !lines->failed;
}

void trace_rescue_forget(void)
{
    wchar_t path[MAX_PATH + 32];

    if (trace_crash_path(path, ARRAY_COUNT(path)))
        DeleteFileW(path);
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * win32.h - what kernel.c wants of the system that it really runs on.  A file
 * of its own, because headers of the two do not go together.
 */
#ifndef TESTS_WIN32_H
#define TESTS_WIN32_H

#include <stddef.h>

void win32_start(const unsigned char *irql);    /* a read of CR8 gives *irql */
void win32_write(const char *line);
void *win32_allocate(size_t bytes);             /* zeroed */
void win32_free(void *memory);
void win32_protect(void *memory, size_t bytes, int accessible);
void win32_map_twice(size_t bytes, unsigned char **one, unsigned char **other);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A xenstore client for three verbs, one request at a time, polled. Paths may be relative to the
 * domain's home.
 */
#ifndef BENCH_GUEST_XENSTORE_H
#define BENCH_GUEST_XENSTORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

bool xenstore_init(void);
/* Fills value with the NUL-ended text. False: no such node, no right, or no answer in time. */
bool xenstore_read(const char *path, char *value, size_t size, uint64_t patience);
bool xenstore_write(const char *path, const char *value, uint64_t patience);
/* Owner and one domain that may read. */
bool xenstore_permit(const char *path, unsigned owner, unsigned reader, uint64_t patience);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How a row is measured and reported; main.c explains the output. */
#ifndef BENCH_GUEST_MEASURE_H
#define BENCH_GUEST_MEASURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "options.h"

/*
 * One row. Each step returns a negative number when it failed, which ends the row. prepare and undo
 * run around each sample, untimed, and may be NULL. A row with own_clock reports what op returns,
 * others the time of op.
 */
struct row {
    const char *name;
    int64_t (*op)(void);
    int64_t (*prepare)(void);
    int64_t (*undo)(void);
    uint64_t rounds_max; /* 0: no limit but the option */
    bool own_clock;
};

extern struct options options;

/* What op may return besides -errno of the ABI; printed by name. */
#define ERROR_TIMEOUT (-10001)
#define ERROR_FAULT (-10002)

/* Chosen and to be run? Rows that are not chosen leave no trace. */
bool measure_wanted(const char *group, const char *name);
/* note: more key=value words for the line, or NULL. */
void measure_row(const char *group, const struct row *row, const char *note);
void measure_rows(const char *group, const struct row *rows, size_t count, const char *note);
void measure_skip(const char *group, const char *name, const char *reason);
void measure_skip_rows(const char *group, const struct row *rows, size_t count, const char *reason);
unsigned measure_failures(void);
/* Spins for this many ticks, letting others run. */
void measure_settle(uint64_t ticks);

/* The groups, one file each: see main.c. */
void rows_cpu(void);
void rows_apic(void);
void rows_board(void);
void rows_qemu(void);
void rows_hypercall(void);
void rows_grant(void);
void rows_touch(void);
void rows_timer(void);
void rows_smp(void);
void rows_pair(void);
void rows_fault(void);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "measure.h"

#include "console.h"
#include "cpu.h"
#include "stats.h"
#include "x86.h"

#define WARM_UP 8u

struct options options;

static uint64_t samples[ROUNDS_MAX];
static unsigned failures;

bool measure_wanted(const char *group, const char *name)
{
    return options_want(&options, group, name);
}

unsigned measure_failures(void)
{
    return failures;
}

void measure_skip(const char *group, const char *name, const char *reason)
{
    if (measure_wanted(group, name))
        console_print("MEASURE %s skipped reason=%s\n", name, reason);
}

void measure_skip_rows(const char *group, const struct row *rows, size_t count, const char *reason)
{
    for (size_t i = 0; i < count; i++)
        measure_skip(group, rows[i].name, reason);
}

void measure_settle(uint64_t ticks)
{
    uint64_t end = tsc_read() + ticks;

    while (tsc_read() < end)
        cpu_pause();
}

static int64_t run_once(const struct row *row, uint64_t *ticks)
{
    int64_t rc = row->prepare ? row->prepare() : 0;
    uint64_t start, end;

    if (rc < 0)
        return rc;
    start = tsc_read();
    rc = row->op();
    end = tsc_read();
    if (rc < 0)
        return rc;
    *ticks = row->own_clock ? (uint64_t)rc : end - start;
    return row->undo ? row->undo() : 0;
}

/* Its own function, so that nothing the catch goes back over lives in registers. */
__attribute__((noinline)) static int64_t run_rounds(const struct row *row, uint64_t warm_up,
                                                    uint64_t rounds)
{
    uint64_t unused;
    int64_t rc = 0;

    for (uint64_t i = 0; i < warm_up && rc >= 0; i++)
        rc = run_once(row, &unused);
    for (uint64_t i = 0; i < rounds && rc >= 0; i++)
        rc = run_once(row, &samples[i]);
    return rc;
}

__attribute__((noinline)) static int64_t run_guarded(const struct row *row, uint64_t warm_up,
                                                     uint64_t rounds)
{
    struct catch here;
    int64_t rc;

    if (catch_set(&here))
        return ERROR_FAULT;
    cpu_self()->catch = &here;
    rc = run_rounds(row, warm_up, rounds);
    cpu_self()->catch = NULL;
    return rc;
}

static void report_failure(const char *name, int64_t rc)
{
    failures++;
    if (rc == ERROR_FAULT)
        console_print("MEASURE %s failed reason=exception-%lu rip=%lx\n", name,
                      cpu_self()->last_vector, cpu_self()->last_rip);
    else if (rc == ERROR_TIMEOUT)
        console_print("MEASURE %s failed reason=timeout\n", name);
    else
        console_print("MEASURE %s failed reason=error%ld\n", name, rc);
}

void measure_row(const char *group, const struct row *row, const char *note)
{
    uint64_t rounds = options.rounds, warm_up = WARM_UP;
    struct stats s;
    int64_t rc;

    if (!measure_wanted(group, row->name))
        return;
    if (row->rounds_max && rounds > row->rounds_max) {
        rounds = row->rounds_max;
        warm_up = 0;
    }
    console_drain();
    measure_settle(options.settle);
    rc = run_guarded(row, warm_up, rounds);
    irq_off();
    if (rc < 0) {
        report_failure(row->name, rc);
        return;
    }
    s = stats_of(samples, rounds);
    console_print("MEASURE %s min=%lu median=%lu max=%lu rounds=%lu unit=ticks%s%s\n", row->name,
                  s.min, s.median, s.max, rounds, note ? " " : "", note ? note : "");
}

void measure_rows(const char *group, const struct row *rows, size_t count, const char *note)
{
    for (size_t i = 0; i < count; i++)
        measure_row(group, &rows[i], note);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Stall detector of the main loop. The poll function of the default context is wrapped: the time
 * from the end of one poll to the start of the next is what was spent dispatching, and while that
 * lasts no input is handled and nothing is drawn. Nested loops poll too, so a modal dialog is no
 * stall.
 */
#include "stall.h"

#include <fcntl.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define STALL_MS 50.0

static struct {
    int fd; /* log, O_APPEND: also valid when two programs share it */
    int schedstat;
    GPollFunc poll;
    double start, wall, cpu, delay; /* ms, at the end of the last poll */
} stall = {.fd = -1, .schedstat = -1};

static double clock_ms(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

/* Time on the run queue without a CPU, from the scheduler's statistics; 0 where there are none. */
static double run_delay_ms(void)
{
    char text[96];
    unsigned long long run = 0, delay = 0;
    gssize n = stall.schedstat < 0 ? 0 : pread(stall.schedstat, text, sizeof text - 1, 0);

    if (n <= 0)
        return 0;
    text[n] = 0;
    return sscanf(text, "%llu %llu", &run, &delay) == 2 ? (double)delay / 1e6 : 0;
}

static void write_line(const char *line)
{
    /* One write of a whole line; a full disk must not disturb the app, so the result is dropped. */
    gssize ignored = write(stall.fd, line, strlen(line));
    (void)ignored;
}

static void check(void)
{
    double wall = clock_ms(CLOCK_MONOTONIC);
    g_autofree char *line = NULL;

    if (wall - stall.wall < STALL_MS)
        return;
    line = g_strdup_printf("STALL wall=%.0f cpu=%.0f waiting=%.0f at=%.0f\n", wall - stall.wall,
                           clock_ms(CLOCK_THREAD_CPUTIME_ID) - stall.cpu,
                           run_delay_ms() - stall.delay, stall.wall - stall.start);
    write_line(line);
}

static gint measured_poll(GPollFD *fds, guint n, gint timeout)
{
    gint result;

    if (stall.wall > 0)
        check();
    result = stall.poll(fds, n, timeout);
    stall.wall = clock_ms(CLOCK_MONOTONIC);
    stall.cpu = clock_ms(CLOCK_THREAD_CPUTIME_ID);
    stall.delay = run_delay_ms();
    return result;
}

void bh_stall_start(void)
{
    const char *path = g_getenv("BULKHEAD_STALL_LOG");

    if (!path || stall.fd >= 0)
        return;
    stall.fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (stall.fd < 0)
        return;
    stall.schedstat = open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC);
    stall.start = clock_ms(CLOCK_MONOTONIC);
    stall.poll = g_main_context_get_poll_func(NULL);
    g_main_context_set_poll_func(NULL, measured_poll);
}

void bh_stall_mark(const char *text)
{
    g_autofree char *line = NULL;

    if (stall.fd < 0)
        return;
    line = g_strdup_printf("MARK %s at=%.0f\n", text, clock_ms(CLOCK_MONOTONIC) - stall.start);
    write_line(line);
}

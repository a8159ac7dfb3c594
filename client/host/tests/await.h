/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Tests wait for asynchronous calls by running the main loop, never by sleeping. */
#pragma once

#include <gio/gio.h>

static inline void await_callback(GObject *source, GAsyncResult *result, gpointer data)
{
    GAsyncResult **slot = data;

    *slot = g_object_ref(result);
}

static inline GAsyncResult *await_result(GAsyncResult **slot)
{
    while (*slot == NULL)
        g_main_context_iteration(NULL, TRUE);
    return *slot;
}

static inline gboolean await_stop(gpointer data)
{
    *(gboolean *)data = TRUE;
    return G_SOURCE_REMOVE;
}

/* Lets the main loop run for a while: for what has no event of its own. */
static inline void await_ms(guint ms)
{
    gboolean stop = FALSE;

    g_timeout_add(ms, await_stop, &stop);
    while (!stop)
        g_main_context_iteration(NULL, TRUE);
}

/* Waits until the condition holds; fails the test after ten seconds. */
#define AWAIT(condition)                                                                           \
    do {                                                                                           \
        gint64 await_end = g_get_monotonic_time() + 10 * G_USEC_PER_SEC;                           \
        while (!(condition)) {                                                                     \
            await_ms(5);                                                                           \
            g_assert_cmpint(g_get_monotonic_time(), <, await_end);                                 \
        }                                                                                          \
    } while (0)

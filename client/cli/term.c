/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See term.h. */
#include "term.h"

#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define BAR_COLUMNS 24

struct _TermProgress {
    BhJob *job;
    gboolean lines;
    int percent; /* shown last */
    char *last;  /* the line shown last */
};

guint term_width(const char *text)
{
    guint width = 0;

    for (const char *p = text; *p != '\0'; p = g_utf8_next_char(p)) {
        gunichar c = g_utf8_get_char(p);

        if (!g_unichar_iszerowidth(c))
            width += g_unichar_iswide(c) ? 2 : 1;
    }
    return width;
}

char *term_clean(const char *text, gboolean keep_newlines)
{
    g_autofree char *valid = g_utf8_make_valid(text != NULL ? text : "", -1);
    GString *clean = g_string_new(NULL);

    for (const char *p = valid; *p != '\0'; p = g_utf8_next_char(p)) {
        gunichar c = g_utf8_get_char(p);

        if (c == '\n' && keep_newlines)
            g_string_append_c(clean, '\n');
        else if (c == '\t' || c == '\n')
            g_string_append_c(clean, ' ');
        else if (!g_unichar_iscntrl(c))
            g_string_append_unichar(clean, c);
    }
    return g_string_free(clean, FALSE);
}

static guint terminal_columns(void)
{
    struct winsize size;

    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
        return size.ws_col;
    return 80;
}

static char *bar_text(BhJob *job)
{
    double fraction = bh_job_get_fraction(job);
    g_autofree char *text = term_clean(bh_job_get_text(job), FALSE);
    g_autofree char *title = term_clean(bh_job_get_title(job), FALSE);
    GString *line = g_string_new(title);
    guint filled = fraction > 0 ? (guint)(fraction * BAR_COLUMNS) : 0;

    if (fraction >= 0) {
        g_string_append(line, " [");
        for (guint i = 0; i < BAR_COLUMNS; i++)
            g_string_append_c(line, i < filled ? '#' : '.');
        g_string_append_printf(line, "] %3.0f%%", fraction * 100);
    }
    if (*text != '\0')
        g_string_append_printf(line, " %s", text);
    return g_string_free(line, FALSE);
}

/* Cut to one line of the terminal, or the bar would not be overwritten by the next. */
static void show_bar(TermProgress *self)
{
    g_autofree char *text = bar_text(self->job);
    guint columns = terminal_columns() - 1;
    char *end = text;
    guint width = 0;

    while (*end != '\0' && width < columns) {
        gunichar c = g_utf8_get_char(end);

        width += g_unichar_iswide(c) ? 2 : 1;
        end = g_utf8_next_char(end);
    }
    *end = '\0';
    if (g_strcmp0(self->last, text) == 0)
        return;
    fprintf(stderr, "\r%s\033[K", text);
    fflush(stderr);
    g_free(self->last);
    self->last = g_steal_pointer(&text);
}

static void show_line(TermProgress *self)
{
    double fraction = bh_job_get_fraction(self->job);
    g_autofree char *text = term_clean(bh_job_get_text(self->job), FALSE);
    g_autofree char *line = NULL;

    /* A step whose length is unknown does not go back to the beginning. */
    if (fraction >= 0)
        self->percent = (int)(fraction * 100 + 0.5);
    else if (*text == '\0')
        return;
    line = g_strdup_printf("PROGRESS %d %s", self->percent, text);
    if (g_strcmp0(self->last, line) == 0)
        return;
    fprintf(stderr, "%s\n", line);
    fflush(stderr);
    g_free(self->last);
    self->last = g_steal_pointer(&line);
}

static void on_change(BhJob *job, GParamSpec *pspec, gpointer data)
{
    TermProgress *self = data;

    if (bh_job_get_state(job) != BH_JOB_RUNNING)
        return;
    if (self->lines)
        show_line(self);
    else
        show_bar(self);
}

TermProgress *term_progress_new(CliProgress mode, BhJob *job)
{
    TermProgress *self;

    if (mode == CLI_PROGRESS_AUTO)
        mode = isatty(STDERR_FILENO) ? CLI_PROGRESS_BAR : CLI_PROGRESS_NONE;
    if (mode == CLI_PROGRESS_NONE)
        return NULL;
    self = g_new0(TermProgress, 1);
    self->job = g_object_ref(job);
    self->lines = mode == CLI_PROGRESS_LINES;
    g_signal_connect(job, "notify::fraction", G_CALLBACK(on_change), self);
    g_signal_connect(job, "notify::text", G_CALLBACK(on_change), self);
    return self;
}

void term_progress_free(TermProgress *self)
{
    if (self == NULL)
        return;
    g_signal_handlers_disconnect_by_data(self->job, self);
    if (!self->lines && self->last != NULL)
        fputs("\r\033[K", stderr);
    g_object_unref(self->job);
    g_free(self->last);
    g_free(self);
}

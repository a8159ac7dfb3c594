/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What every verb needs: waiting, the host, errors and their exit codes, questions. */
#include "cli.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <glib-unix.h>
#include <glib/gi18n.h>

#include "term.h"

/* A probe that hangs is given up after 2 s; on a slow computer it may take longer (accel.c). */
#define ACCELERATOR_SECONDS 60

void cli_done(GObject *source, GAsyncResult *result, gpointer data)
{
    *(GAsyncResult **)data = g_object_ref(result);
}

GAsyncResult *cli_await(Cli *cli, BhJob *job, GAsyncResult **result)
{
    TermProgress *progress = job != NULL ? term_progress_new(cli->progress, job) : NULL;

    cli->job = job;
    while (*result == NULL)
        g_main_context_iteration(NULL, TRUE);
    cli->job = NULL;
    term_progress_free(progress);
    return *result;
}

gboolean cli_turn(Cli *cli)
{
    if (!cli->interrupted)
        g_main_context_iteration(NULL, TRUE);
    return !cli->interrupted;
}

BhJob *cli_job(Cli *cli, const char *title, BhMachine *machine)
{
    BhJob *job = bh_job_new(title, machine != NULL ? bh_machine_get_id(machine) : NULL);

    if (cli->interrupted)
        bh_job_cancel(job);
    return job;
}

int cli_open_host(Cli *cli)
{
    g_autoptr(GAsyncResult) result = NULL;
    g_autoptr(BhJob) job = NULL;
    GError *error = NULL;

    if (cli->host != NULL)
        return CLI_OK;
    cli->host = bh_host_new(cli->uri, &error);
    if (cli->host == NULL) {
        cli_error(cli, error);
        return CLI_USAGE;
    }
    job = cli_job(cli, _("Connecting"), NULL);
    bh_host_open_async(cli->host, job, cli_done, &result);
    cli->job = job;
    while (result == NULL)
        g_main_context_iteration(NULL, TRUE);
    cli->job = NULL;
    if (bh_host_open_finish(cli->host, result, &error))
        return CLI_OK;
    return cli_error(cli, error) == CLI_INTERRUPTED ? CLI_INTERRUPTED : CLI_CONNECTION;
}

static gboolean expire(gpointer data)
{
    *(gboolean *)data = TRUE;
    return G_SOURCE_CONTINUE; /* removed by who waits */
}

void cli_await_accelerator(Cli *cli)
{
    gboolean expired = FALSE;
    guint timer = g_timeout_add_seconds(ACCELERATOR_SECONDS, expire, &expired);

    while (bh_host_get_accelerator(cli->host) == NULL && !expired && cli_turn(cli))
        ;
    g_source_remove(timer);
}

BhMachine *cli_find_machine(Cli *cli, const char *id_or_name)
{
    BhMachine *machine = bh_host_find_machine(cli->host, id_or_name);

    if (machine == NULL)
        cli_error(cli,
                  bh_error_new(BH_ERROR_NOT_FOUND, _("“bulkheadctl list” shows what there is."),
                               NULL, _("There is no machine “%s”."), id_or_name));
    return machine;
}

static int exit_code(const GError *error)
{
    if (g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
        return CLI_INTERRUPTED;
    if (error->domain != BH_ERROR)
        return CLI_FAILED;
    switch (error->code) {
    case BH_ERROR_NOT_FOUND:
        return CLI_NOT_FOUND;
    case BH_ERROR_BUSY:
    case BH_ERROR_NEEDS_CONFIRM:
        return CLI_NOT_NOW;
    case BH_ERROR_DISCONNECTED:
        return CLI_CONNECTION;
    default:
        return CLI_FAILED;
    }
}

/* What a guest or a log had a say in must not steer the terminal. */
static void tell(const char *before, const char *text)
{
    g_autofree char *clean = term_clean(text, TRUE);

    if (*clean != '\0')
        fprintf(stderr, "%s%s\n", before, clean);
}

int cli_error(Cli *cli, GError *error)
{
    int code = exit_code(error);

    if (code == CLI_INTERRUPTED) {
        tell("bulkheadctl: ", _("Cancelled."));
    } else {
        tell("bulkheadctl: ", error->message);
        tell("", bh_error_get_hint(error));
        if (cli->verbose)
            tell("", bh_error_get_detail(error));
    }
    g_error_free(error);
    return code;
}

int cli_usage_error(const char *format, ...)
{
    va_list args;

    fputs("bulkheadctl: ", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fprintf(stderr, "\n%s\n", _("Try “bulkheadctl --help”."));
    return CLI_USAGE;
}

static gboolean readable(int fd, GIOCondition condition, gpointer data)
{
    *(gboolean *)data = TRUE;
    return G_SOURCE_CONTINUE; /* removed by who waits */
}

/* A read that blocks would not be ended by Ctrl-C, which only the main loop notices. */
gboolean cli_wait_readable(Cli *cli, int fd)
{
    gboolean ready = FALSE;
    guint source = g_unix_fd_add(fd, G_IO_IN | G_IO_HUP | G_IO_ERR, readable, &ready);

    while (!ready && cli_turn(cli))
        ;
    g_source_remove(source);
    return !cli->interrupted;
}

gboolean cli_confirm(Cli *cli, const char *question, int *code)
{
    char answer[16];

    if (!isatty(STDIN_FILENO)) {
        fprintf(stderr, "bulkheadctl: %s\n%s\n", question,
                _("There is no terminal to ask on: give --yes if you are sure."));
        *code = CLI_NOT_NOW;
        return FALSE;
    }
    /* Translators: the answers stay "y" and "N" */
    fprintf(stderr, "%s [y/N] ", question);
    if (!cli_wait_readable(cli, STDIN_FILENO)) {
        fputc('\n', stderr);
        *code = CLI_INTERRUPTED;
        return FALSE;
    }
    *code = CLI_NOT_NOW;
    if (fgets(answer, sizeof answer, stdin) == NULL)
        return FALSE;
    return answer[0] == 'y' || answer[0] == 'Y';
}

void cli_say(Cli *cli, const char *format, ...)
{
    va_list args;

    if (cli->quiet || cli->json)
        return;
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    putchar('\n');
}

gboolean cli_parse_size(const char *text, guint64 unit, guint64 *bytes)
{
    static const char letters[] = "KMGT";
    char *end;
    double number = g_ascii_strtod(text, &end);
    const char *letter;

    if (end == text || !isfinite(number) || number <= 0)
        return FALSE;
    if (*end != '\0') {
        letter = strchr(letters, g_ascii_toupper(*end));
        if (letter == NULL || (end[1] != '\0' && g_ascii_strcasecmp(end + 1, "iB") != 0 &&
                               g_ascii_strcasecmp(end + 1, "B") != 0))
            return FALSE;
        unit = G_GUINT64_CONSTANT(1024) << (10 * (letter - letters));
    }
    if (number * (double)unit >= 9e18 || number * (double)unit < 1)
        return FALSE;
    *bytes = (guint64)(number * (double)unit);
    return TRUE;
}

gboolean cli_parse_switch(const char *option, const char *text, gboolean *value)
{
    static const struct {
        const char *word;
        gboolean value;
    } words[] = {{"on", TRUE},   {"yes", TRUE}, {"true", TRUE},   {"1", TRUE},
                 {"off", FALSE}, {"no", FALSE}, {"false", FALSE}, {"0", FALSE}};

    for (gsize i = 0; i < G_N_ELEMENTS(words); i++) {
        if (g_ascii_strcasecmp(text, words[i].word) != 0)
            continue;
        *value = words[i].value;
        return TRUE;
    }
    cli_usage_error(_("--%s takes “on” or “off”, not “%s”."), option, text);
    return FALSE;
}

char *cli_absolute_path(const char *path)
{
    return g_canonicalize_filename(path, NULL);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bulkheadctl: what its verbs share.
 *
 * A verb is one row of a table. Its function runs start to end and waits for each asynchronous call
 * with cli_await, which keeps the main loop going, so that progress is shown and Ctrl-C is obeyed:
 * it cancels the running job, and the call still ends by itself, after undoing what it had begun.
 */
#pragma once

#include <bulkhead/error.h>
#include <bulkhead/host.h>

/* Documented in the man page. */
enum {
    CLI_OK = 0,
    CLI_FAILED = 1,
    CLI_USAGE = 2,
    CLI_NOT_FOUND = 3,
    CLI_NOT_NOW = 4, /* not allowed in this state, busy, or needs a confirmation */
    CLI_CONNECTION = 5,
    CLI_INTERRUPTED = 130
};

typedef enum {
    CLI_PROGRESS_AUTO,
    CLI_PROGRESS_BAR,
    CLI_PROGRESS_LINES,
    CLI_PROGRESS_NONE
} CliProgress;

typedef struct {
    char *uri;
    gboolean uri_given; /* by --connect */
    gboolean json;
    gboolean verbose;
    gboolean quiet;
    CliProgress progress;
    BhHost *host;         /* once opened */
    BhJob *job;           /* what Ctrl-C cancels; borrowed while a call runs */
    gboolean interrupted; /* Ctrl-C, or a signal that asks us to end */
} Cli;

typedef struct {
    const char *name; /* one or two words */
    const char *args; /* for the usage line */
    const char *summary;
    const GOptionEntry *options; /* or NULL */
    guint min_args, max_args;
    gboolean host; /* opened before run */
    int (*run)(Cli *cli, char **args, guint n);
    const char *description; /* after the options in --help; or NULL */
} CliVerb;

/* The tables, each ended by a row without name. */
extern const CliVerb cli_machine_verbs[];
extern const CliVerb cli_manage_verbs[];
extern const CliVerb cli_new_verbs[];
extern const CliVerb cli_screen_verbs[];
extern const CliVerb cli_usb_verbs[];
extern const CliVerb cli_host_verbs[];
extern const CliVerb cli_doctor_verbs[];

/* ---- cli.c ---- */

/* A GAsyncReadyCallback: data is a GAsyncResult* variable that is NULL. */
void cli_done(GObject *source, GAsyncResult *result, gpointer data);
/* Runs the main loop until the result is there. job (or NULL): shown and cancellable meanwhile. */
GAsyncResult *cli_await(Cli *cli, BhJob *job, GAsyncResult **result);
/* One turn of the main loop; FALSE once the user wants to end. */
gboolean cli_turn(Cli *cli);
/* A job for the next call; cancelled at once when the user has already asked to end. */
BhJob *cli_job(Cli *cli, const char *title, BhMachine *machine);

/* Opens cli->uri. An exit code; the error has been told. */
int cli_open_host(Cli *cli);
/* Waits a little for the host's accelerator, which is proved after the connection is there. */
void cli_await_accelerator(Cli *cli);
/* Borrowed, or NULL after telling that there is none. */
BhMachine *cli_find_machine(Cli *cli, const char *id_or_name);
/* An error that ends the verb: told on standard error, freed; its exit code. */
int cli_error(Cli *cli, GError *error);
int cli_usage_error(const char *format, ...) G_GNUC_PRINTF(1, 2);
/* Runs the main loop until the descriptor can be read; FALSE when the user wants to end instead. */
gboolean cli_wait_readable(Cli *cli, int fd);
/* Asks on the terminal; FALSE when the answer is not yes. Without a terminal: FALSE and told. */
gboolean cli_confirm(Cli *cli, const char *question, int *code);
/* What a verb did, for people: on standard output unless --quiet or --json. */
void cli_say(Cli *cli, const char *format, ...) G_GNUC_PRINTF(2, 3);

/* "512M", "2GiB", "2.5G"; a bare number counts in unit. FALSE when it is no size. */
gboolean cli_parse_size(const char *text, guint64 unit, guint64 *bytes);
/* "on", "yes", "off", ...; FALSE after telling that it is none. */
gboolean cli_parse_switch(const char *option, const char *text, gboolean *value);
char *cli_absolute_path(const char *path);

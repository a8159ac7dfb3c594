/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bulkheadctl: the command line. Options common to all verbs may stand before or after the verb.
 * The table of verbs is also what --help and the completion of the shell (--complete) print.
 */
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <glib-unix.h>
#include <glib/gi18n.h>

#include "cli.h"

static const CliVerb *const tables[] = {cli_machine_verbs, cli_new_verbs, cli_manage_verbs,
                                        cli_screen_verbs,  cli_usb_verbs, cli_host_verbs,
                                        cli_doctor_verbs};

/* ---- options ---- */

static char *opt_connect;
static char *opt_progress;
static char *opt_complete;
static gboolean opt_json, opt_version, opt_verbose, opt_quiet;

static const GOptionEntry common_options[] = {
    {"connect", 'c', 0, G_OPTION_ARG_STRING, &opt_connect,
     N_("The host, such as qemu:///session (the app's setting)"), N_("URI")},
    {"json", 'j', 0, G_OPTION_ARG_NONE, &opt_json, N_("Print JSON"), NULL},
    {"progress", 0, 0, G_OPTION_ARG_STRING, &opt_progress,
     N_("How to show progress: auto, bar, lines, none"), N_("HOW")},
    {"quiet", 'q', 0, G_OPTION_ARG_NONE, &opt_quiet, N_("Do not say what was done"), NULL},
    {"verbose", 'v', 0, G_OPTION_ARG_NONE, &opt_verbose, N_("Tell details of errors"), NULL},
    {"version", 0, 0, G_OPTION_ARG_NONE, &opt_version, N_("Print the version and end"), NULL},
    {"complete", 0, G_OPTION_FLAG_HIDDEN, G_OPTION_ARG_STRING, &opt_complete, "", ""},
    {NULL},
};

/* What the app is set to, when its settings are installed. */
static char *default_uri(void)
{
    GSettingsSchemaSource *source = g_settings_schema_source_get_default();
    g_autoptr(GSettingsSchema) schema =
        source != NULL ? g_settings_schema_source_lookup(source, BH_APP_ID, TRUE) : NULL;
    g_autoptr(GSettings) settings = NULL;

    if (schema == NULL || !g_settings_schema_has_key(schema, "uri"))
        return g_strdup("qemu:///session");
    settings = g_settings_new(BH_APP_ID);
    return g_settings_get_string(settings, "uri");
}

static gboolean take_common(Cli *cli)
{
    static const char *const modes[] = {"auto", "bar", "lines", "none"};

    cli->json = opt_json;
    cli->verbose = opt_verbose;
    cli->quiet = opt_quiet;
    cli->progress = CLI_PROGRESS_AUTO;
    for (gsize i = 0; opt_progress != NULL && i < G_N_ELEMENTS(modes); i++) {
        if (!g_str_equal(opt_progress, modes[i]))
            continue;
        cli->progress = (CliProgress)i;
        return TRUE;
    }
    if (opt_progress == NULL)
        return TRUE;
    cli_usage_error(_("--progress takes auto, bar, lines or none."));
    return FALSE;
}

/* ---- the table ---- */

typedef void (*EachVerb)(const CliVerb *verb, gpointer data);

static void each_verb(EachVerb function, gpointer data)
{
    for (gsize i = 0; i < G_N_ELEMENTS(tables); i++)
        for (const CliVerb *verb = tables[i]; verb->name != NULL; verb++)
            function(verb, data);
}

typedef struct {
    const char *name;
    const CliVerb *found;
} Search;

static void compare(const CliVerb *verb, gpointer data)
{
    Search *search = data;

    if (g_str_equal(verb->name, search->name))
        search->found = verb;
}

/* Two words first. *words: how many of them the verb's name took. */
static const CliVerb *find_verb(char **args, guint n, guint *words)
{
    for (*words = MIN(n, 2u); *words > 0; --*words) {
        g_autofree char *name =
            *words == 2 ? g_strdup_printf("%s %s", args[0], args[1]) : g_strdup(args[0]);
        Search search = {name, NULL};

        each_verb(compare, &search);
        if (search.found != NULL)
            return search.found;
    }
    return NULL;
}

static void summarise(const CliVerb *verb, gpointer data)
{
    g_autofree char *usage =
        g_strdup_printf("%s %s", verb->name, *verb->args != '\0' ? _(verb->args) : "");

    g_string_append_printf(data, "  %-34s %s\n", usage, _(verb->summary));
}

static GOptionContext *main_context(void)
{
    GOptionContext *context = g_option_context_new(_("VERB [ARGUMENTS]"));
    GString *verbs = g_string_new(_("Verbs:\n"));

    each_verb(summarise, verbs);
    g_string_append_printf(verbs, "\n%s\n%s",
                           _("“bulkheadctl VERB --help” tells more about a verb."),
                           _("A machine is addressed by its name or its id."));
    g_option_context_set_summary(context, _("Runs virtual machines from the command line."));
    g_option_context_set_description(context, verbs->str);
    g_option_context_add_main_entries(context, common_options, GETTEXT_PACKAGE);
    g_option_context_set_strict_posix(context, TRUE);
    g_string_free(verbs, TRUE);
    return context;
}

static GOptionContext *verb_context(const CliVerb *verb)
{
    GOptionContext *context = g_option_context_new(*verb->args != '\0' ? _(verb->args) : "");

    g_option_context_set_summary(context, _(verb->summary));
    if (verb->description != NULL)
        g_option_context_set_description(context, _(verb->description));
    if (verb->options != NULL)
        g_option_context_add_main_entries(context, verb->options, GETTEXT_PACKAGE);
    g_option_context_add_main_entries(context, common_options, GETTEXT_PACKAGE);
    return context;
}

/* ---- completion of the shell: "verbs", "options VERB" or "args VERB" ---- */

static void print_name(const CliVerb *verb, gpointer data)
{
    puts(verb->name);
}

static void print_options(const GOptionEntry *entries)
{
    for (; entries != NULL && entries->long_name != NULL; entries++)
        if (!(entries->flags & G_OPTION_FLAG_HIDDEN))
            printf("--%s%s\n", entries->long_name, entries->arg != G_OPTION_ARG_NONE ? "=" : "");
}

static int complete(char **args, guint n)
{
    guint words;
    const CliVerb *verb;

    if (g_str_equal(opt_complete, "verbs")) {
        each_verb(print_name, NULL);
        return CLI_OK;
    }
    verb = n > 0 ? find_verb(args, n, &words) : NULL;
    if (g_str_equal(opt_complete, "args"))
        return verb != NULL && puts(verb->args) >= 0 ? CLI_OK : CLI_USAGE;
    if (!g_str_equal(opt_complete, "options"))
        return CLI_USAGE;
    if (verb != NULL)
        print_options(verb->options);
    print_options(common_options);
    puts("--help");
    return CLI_OK;
}

/* ---- signals ---- */

/* The first asks what runs to stop and undo itself, a second ends the program at once. */
static gboolean on_signal(gpointer data)
{
    Cli *cli = data;

    cli->interrupted = TRUE;
    if (cli->job != NULL) {
        if (isatty(STDERR_FILENO))
            fprintf(stderr, "\n%s\n", _("Cancelling; press Ctrl-C again to end at once."));
        bh_job_cancel(cli->job);
    }
    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
    g_main_context_wakeup(NULL);
    return G_SOURCE_CONTINUE;
}

/* ---- running ---- */

static int run_verb(Cli *cli, const CliVerb *verb, char **args, guint n)
{
    int code = CLI_OK;

    if (n < verb->min_args || n > verb->max_args)
        return cli_usage_error(n < verb->min_args
                                   ? _("“%s” wants more arguments: bulkheadctl %s %s")
                                   : _("“%s” wants fewer arguments: bulkheadctl %s %s"),
                               verb->name, verb->name, *verb->args != '\0' ? _(verb->args) : "");
    if (verb->host)
        code = cli_open_host(cli);
    if (code == CLI_OK)
        code = verb->run(cli, args, n);
    if (cli->host != NULL)
        bh_host_close(cli->host);
    fflush(stdout);
    if (ferror(stdout) && code == CLI_OK) {
        fprintf(stderr, "bulkheadctl: %s\n", _("Writing the output failed."));
        code = CLI_FAILED;
    }
    return code;
}

static int parse_and_run(Cli *cli, char **args)
{
    guint n = g_strv_length(args), words = 0;
    const CliVerb *verb = find_verb(args, n, &words);
    g_autoptr(GOptionContext) context = NULL;
    g_autoptr(GError) error = NULL;
    g_auto(GStrv) rest = NULL;
    g_autofree char *program = NULL;

    if (verb == NULL)
        return cli_usage_error(_("There is no verb “%s”."), args[0]);
    context = verb_context(verb);
    rest = g_strdupv(args + words - 1);
    program = g_strdup_printf("bulkheadctl %s", verb->name);
    g_set_prgname(program);
    if (!g_option_context_parse_strv(context, &rest, &error))
        return cli_usage_error("%s", error->message);
    g_set_prgname("bulkheadctl");
    if (!take_common(cli))
        return CLI_USAGE;
    if (opt_version)
        return puts("bulkheadctl " BH_VERSION) >= 0 ? CLI_OK : CLI_FAILED;
    cli->uri_given = opt_connect != NULL;
    cli->uri = opt_connect != NULL ? g_strdup(opt_connect) : default_uri();
    n = g_strv_length(rest);
    /* "--" that ended the options, and the program's name, are not the verb's arguments. */
    if (n > 1 && g_str_equal(rest[1], "--"))
        return run_verb(cli, verb, rest + 2, n - 2);
    return run_verb(cli, verb, rest + 1, n - 1);
}

static int ctl_main(Cli *cli, char **argv)
{
    g_autoptr(GOptionContext) context = main_context();
    g_autoptr(GError) error = NULL;
    g_auto(GStrv) args = g_strdupv(argv);
    guint n;

    if (!g_option_context_parse_strv(context, &args, &error))
        return cli_usage_error("%s", error->message);
    n = g_strv_length(args);
    if (opt_complete != NULL)
        return complete(args + 1, n - 1);
    if (opt_version)
        return puts("bulkheadctl " BH_VERSION) >= 0 ? CLI_OK : CLI_FAILED;
    if (n < 2 || g_str_equal(args[1], "help")) {
        g_autofree char *help = NULL;
        char *of_verb[] = {n > 2 ? args[2] : NULL, n > 3 ? args[3] : (char *)"--help",
                           (char *)"--help", NULL};

        if (n > 2)
            return parse_and_run(cli, of_verb);
        help = g_option_context_get_help(context, TRUE, NULL);
        fputs(help, n < 2 ? stderr : stdout);
        return n < 2 ? CLI_USAGE : CLI_OK;
    }
    return parse_and_run(cli, args + 1);
}

int main(int argc, char **argv)
{
    Cli cli = {0};
    int code;

    setlocale(LC_ALL, "");
    bindtextdomain(GETTEXT_PACKAGE, BH_LOCALEDIR);
    bind_textdomain_codeset(GETTEXT_PACKAGE, "UTF-8");
    textdomain(GETTEXT_PACKAGE);
    g_set_prgname("bulkheadctl");
    g_unix_signal_add(SIGINT, on_signal, &cli);
    g_unix_signal_add(SIGTERM, on_signal, &cli);
    code = ctl_main(&cli, argv);
    g_clear_object(&cli.host);
    g_free(cli.uri);
    return code;
}

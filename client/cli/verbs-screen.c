/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Verbs about a machine's screen and keyboard: view, screenshot, type. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <gdk-pixbuf/gdk-pixbuf.h>
#include <glib/gi18n.h>

#include "app.h"
#include "keymap.h"
#include "output.h"

static int run_view(Cli *cli, char **args, guint n)
{
    BhMachine *machine = cli_find_machine(cli, args[0]);

    return machine != NULL ? app_open_machine(cli, machine) : CLI_NOT_FOUND;
}

/* ---- screenshot ---- */

static gboolean opt_force;

static const GOptionEntry screenshot_options[] = {
    {"force", 0, 0, G_OPTION_ARG_NONE, &opt_force, N_("Replace the file when there is one"), NULL},
    {NULL},
};

/* The guest's picture as a PNG. */
static GBytes *to_png(GBytes *picture, GError **error)
{
    g_autoptr(GInputStream) stream = g_memory_input_stream_new_from_bytes(picture);
    g_autoptr(GdkPixbuf) pixbuf = gdk_pixbuf_new_from_stream(stream, NULL, error);
    char *data = NULL;
    gsize size = 0;

    if (pixbuf == NULL || !gdk_pixbuf_save_to_buffer(pixbuf, &data, &size, "png", error, NULL))
        return NULL;
    return g_bytes_new_take(data, size);
}

static gboolean store(const char *path, GBytes *png, GError **error)
{
    gsize size;
    const char *data = g_bytes_get_data(png, &size);

    if (!g_str_equal(path, "-"))
        return g_file_set_contents_full(
            path, data, (gssize)size, G_FILE_SET_CONTENTS_CONSISTENT | G_FILE_SET_CONTENTS_DURABLE,
            0666, error);
    if (fwrite(data, 1, size, stdout) == size && fflush(stdout) == 0)
        return TRUE;
    g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_FAILED, _("Writing the picture failed."));
    return FALSE;
}

static int run_screenshot(Cli *cli, char **args, guint n)
{
    BhMachine *machine = cli_find_machine(cli, args[0]);
    g_autoptr(BhJob) job = NULL;
    g_autoptr(GAsyncResult) result = NULL;
    g_autoptr(GBytes) picture = NULL;
    g_autoptr(GBytes) png = NULL;
    GError *error = NULL;

    if (machine == NULL)
        return CLI_NOT_FOUND;
    if (!opt_force && !g_str_equal(args[1], "-") && g_file_test(args[1], G_FILE_TEST_EXISTS))
        return cli_error(cli, bh_error_new(BH_ERROR_EXISTS, _("--force replaces it."), NULL,
                                           _("“%s” is already there."), args[1]));
    if (g_str_equal(args[1], "-") && isatty(STDOUT_FILENO))
        return cli_usage_error(_("A picture is not written to a terminal."));
    job = cli_job(cli, _("Screenshot"), machine);
    bh_machine_screenshot_async(machine, job, cli_done, &result);
    picture = bh_machine_screenshot_finish(machine, cli_await(cli, job, &result), &error);
    if (picture != NULL)
        png = to_png(picture, &error);
    if (png == NULL || !store(args[1], png, &error))
        return cli_error(cli, error);
    return CLI_OK;
}

/* ---- type ---- */

static char **opt_keys;
static gboolean opt_enter;
static int opt_delay = 20;

static const GOptionEntry type_options[] = {
    {"keys", 'k', 0, G_OPTION_ARG_STRING_ARRAY, &opt_keys,
     N_("Press these keys together, such as ctrl-alt-F1; may be repeated"), N_("KEYS")},
    {"enter", 'e', 0, G_OPTION_ARG_NONE, &opt_enter, N_("Press Enter at the end"), NULL},
    {"delay", 0, 0, G_OPTION_ARG_INT, &opt_delay, N_("Pause between keys (20)"),
     N_("MILLISECONDS")},
    {NULL},
};

static gboolean pause_over(gpointer data)
{
    *(gboolean *)data = TRUE;
    return G_SOURCE_REMOVE;
}

static void pause_for(Cli *cli, guint ms)
{
    gboolean over = FALSE;

    if (ms == 0)
        return;
    g_timeout_add(ms, pause_over, &over);
    while (!over)
        g_main_context_iteration(NULL, TRUE);
}

static int press(Cli *cli, BhMachine *machine, const KeyChord *chord)
{
    g_autoptr(GAsyncResult) result = NULL;
    GError *error = NULL;

    if (cli->interrupted)
        return CLI_INTERRUPTED;
    bh_machine_send_keys_async(machine, chord->keys, chord->n, NULL, cli_done, &result);
    if (!bh_machine_send_keys_finish(machine, cli_await(cli, NULL, &result), &error))
        return cli_error(cli, error);
    pause_for(cli, (guint)opt_delay);
    return CLI_OK;
}

/* Everything is checked before the first key: half a command typed is worse than none. */
static GArray *chords_for(Cli *cli, const char *text, int *code)
{
    g_autofree char *wrong = keymap_untypable(text);
    g_autoptr(GArray) chords = g_array_new(FALSE, FALSE, sizeof(KeyChord));
    g_autofree char *unknown = NULL;
    KeyChord chord;

    if (wrong != NULL) {
        *code = cli_error(cli, bh_error_new(BH_ERROR_INVALID,
                                            _("Nothing was typed. The clipboard of the machine's "
                                              "window takes any text."),
                                            NULL, _("The US keyboard has no key for: %s"), wrong));
        return NULL;
    }
    for (guint i = 0; opt_keys != NULL && opt_keys[i] != NULL; i++) {
        if (!keymap_from_combo(opt_keys[i], &chord, &unknown)) {
            *code =
                cli_usage_error(_("“%s” is not a key."), unknown != NULL ? unknown : opt_keys[i]);
            return NULL;
        }
        g_array_append_val(chords, chord);
    }
    for (const char *p = text; *p != '\0'; p = g_utf8_next_char(p)) {
        keymap_from_char(g_utf8_get_char(p), &chord);
        g_array_append_val(chords, chord);
    }
    if (opt_enter) {
        keymap_from_char('\n', &chord);
        g_array_append_val(chords, chord);
    }
    return g_steal_pointer(&chords);
}

/* "-" is standard input. NULL when reading was interrupted. */
static char *read_text(Cli *cli, const char *argument)
{
    g_autoptr(GString) text = g_string_new(NULL);
    char buffer[4096];
    gssize got = 1;

    if (argument == NULL || !g_str_equal(argument, "-"))
        return g_strdup(argument != NULL ? argument : "");
    while (got > 0) {
        if (!cli_wait_readable(cli, STDIN_FILENO))
            return NULL;
        got = read(STDIN_FILENO, buffer, sizeof buffer);
        if (got > 0)
            g_string_append_len(text, buffer, got);
    }
    return g_string_free(g_steal_pointer(&text), FALSE);
}

static int run_type(Cli *cli, char **args, guint n)
{
    BhMachine *machine = cli_find_machine(cli, args[0]);
    g_autofree char *text = NULL;
    g_autoptr(GArray) chords = NULL;
    int code = CLI_OK;

    if (machine == NULL)
        return CLI_NOT_FOUND;
    if (n < 2 && opt_keys == NULL && !opt_enter)
        return cli_usage_error(_("Give a text, --keys or --enter."));
    if (opt_delay < 0 || opt_delay > 10000)
        return cli_usage_error(_("--delay takes 0 to 10000 milliseconds."));
    text = read_text(cli, n > 1 ? args[1] : NULL);
    if (text == NULL)
        return CLI_INTERRUPTED;
    if (!g_utf8_validate(text, -1, NULL))
        return cli_usage_error(_("The text is not valid UTF-8."));
    chords = chords_for(cli, text, &code);
    for (guint i = 0; chords != NULL && i < chords->len && code == CLI_OK; i++)
        code = press(cli, machine, &g_array_index(chords, KeyChord, i));
    return code;
}

const CliVerb cli_screen_verbs[] = {
    {"view", N_("MACHINE"), N_("Open the machine's window in the app"), NULL, 1, 1, TRUE, run_view,
     NULL},
    {"screenshot", N_("MACHINE FILE"), N_("Store the guest's screen as a PNG"), screenshot_options,
     2, 2, TRUE, run_screenshot, N_("FILE may be “-” for standard output.")},
    {"type", N_("MACHINE [TEXT]"), N_("Type a text or press keys in the guest"), type_options, 1, 2,
     TRUE, run_type,
     N_("The guest is taken to have the US keyboard layout. TEXT may be “-” for standard input. "
        "--keys come before the text.")},
    {NULL},
};

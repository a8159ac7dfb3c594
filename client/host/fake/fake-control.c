/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Faults from outside: a Unix socket (mode 600) that takes one command a line and answers "ok" or
 * "error REASON". Words are split as a shell does, so names with spaces are quoted.
 *
 *   fail WHAT CODE MESSAGE...   the next operation WHAT fails        drop MS
 *   crash NAME [LOG...]         \n in LOG is a line break             state NAME STATE
 *   rename OLD NEW              remove NAME                           add NAME
 *   stubborn NAME               its guest ignores the power button    list
 */
#include "fake-private.h"

#include <string.h>

#include <gio/gunixsocketaddress.h>
#include <glib/gstdio.h>

struct _BhFakeControl {
    BhFakeHost *host; /* owns us */
    GSocketService *service;
    char *path;
};

typedef struct {
    BhFakeHost *host;
    char **words; /* from the first argument on */
    guint n;
    GString *answer; /* more lines before "ok" */
} Command;

/* ---- commands: NULL for done, else what is wrong ---- */

static BhMachine *command_machine(Command *command)
{
    return bh_host_find_machine(BH_HOST(command->host), command->words[0]);
}

static const char *run_fail(Command *command)
{
    g_autofree char *message = g_strjoinv(" ", command->words + 2);
    BhErrorCode code;

    if (!bh_fake_code_from_text(command->words[1], &code))
        return "no such error code";
    bh_fake_host_fail_next(command->host, command->words[0], code, message);
    return NULL;
}

static const char *run_drop(Command *command)
{
    guint64 ms;

    if (!g_ascii_string_to_unsigned(command->words[0], 10, 0, 3600000, &ms, NULL))
        return "not a number of milliseconds";
    bh_fake_host_drop_connection(command->host, (guint)ms);
    return NULL;
}

static const char *run_crash(Command *command)
{
    g_autofree char *joined = g_strjoinv(" ", command->words + 1);
    g_autofree char *log = g_strcompress(joined);

    bh_fake_host_crash(command->host, command_machine(command), log);
    return NULL;
}

static const char *run_state(Command *command)
{
    for (int state = BH_STATE_OFF; state <= BH_STATE_GONE; state++) {
        if (!g_str_equal(command->words[1], bh_state_get_name((BhState)state)))
            continue;
        bh_fake_host_force_state(command->host, command_machine(command), (BhState)state);
        return NULL;
    }
    return "no such state";
}

static const char *run_rename(Command *command)
{
    bh_fake_host_force_rename(command->host, command_machine(command), command->words[1]);
    return NULL;
}

static const char *run_remove(Command *command)
{
    bh_fake_host_force_state(command->host, command_machine(command), BH_STATE_GONE);
    return NULL;
}

static const char *run_add(Command *command)
{
    bh_fake_host_force_add(command->host, command->words[0]);
    return NULL;
}

static const char *run_stubborn(Command *command)
{
    bh_fake_machine_set_stubborn(BH_FAKE_MACHINE(command_machine(command)), TRUE);
    return NULL;
}

static const char *run_list(Command *command)
{
    GListModel *machines = bh_host_get_machines(BH_HOST(command->host));

    for (guint i = 0; i < g_list_model_get_n_items(machines); i++) {
        g_autoptr(BhMachine) machine = g_list_model_get_item(machines, i);

        g_string_append_printf(command->answer, "%s %s %s\n", bh_machine_get_id(machine),
                               bh_state_get_name(bh_machine_get_state(machine)),
                               bh_machine_get_name(machine));
    }
    return NULL;
}

static const struct {
    const char *name;
    guint min_words;
    gboolean machine; /* the first word names one */
    const char *(*run)(Command *command);
} commands[] = {
    {"fail", 3, FALSE, run_fail},    {"drop", 1, FALSE, run_drop},
    {"crash", 1, TRUE, run_crash},   {"state", 2, TRUE, run_state},
    {"rename", 2, TRUE, run_rename}, {"remove", 1, TRUE, run_remove},
    {"add", 1, FALSE, run_add},      {"stubborn", 1, TRUE, run_stubborn},
    {"list", 0, FALSE, run_list},
};

static const char *dispatch(BhFakeHost *host, char **words, guint n, GString *answer)
{
    Command command = {host, words + 1, n - 1, answer};

    for (gsize i = 0; i < G_N_ELEMENTS(commands); i++) {
        if (!g_str_equal(words[0], commands[i].name))
            continue;
        if (command.n < commands[i].min_words)
            return "too few words";
        if (commands[i].machine && command_machine(&command) == NULL)
            return "no such machine";
        return commands[i].run(&command);
    }
    return "no such command";
}

char *bh_fake_control_run(BhFakeHost *host, const char *line)
{
    g_auto(GStrv) words = NULL;
    g_autoptr(GError) error = NULL;
    GString *answer = g_string_new(NULL);
    const char *problem;
    int n = 0;

    if (!g_shell_parse_argv(line, &n, &words, &error))
        problem = error->message;
    else
        problem = dispatch(host, words, (guint)n, answer);
    if (problem != NULL)
        g_string_append_printf(answer, "error %s", problem);
    else
        g_string_append(answer, "ok");
    return g_string_free(answer, FALSE);
}

/* ---- socket ---- */

typedef struct {
    BhFakeHost *host; /* weak */
    GSocketConnection *connection;
    GDataInputStream *input;
} Client;

static void client_free(Client *client)
{
    if (client->host != NULL)
        g_object_remove_weak_pointer(G_OBJECT(client->host), (gpointer *)&client->host);
    g_object_unref(client->input);
    g_object_unref(client->connection);
    g_free(client);
}

static void read_next(Client *client);

/* A command's answer is a few lines at most, so writing it cannot block for long. */
static void line_read(GObject *source, GAsyncResult *result, gpointer data)
{
    Client *client = data;
    g_autofree char *line =
        g_data_input_stream_read_line_finish_utf8(client->input, result, NULL, NULL);
    g_autofree char *answer = NULL;
    g_autofree char *text = NULL;
    GOutputStream *output = g_io_stream_get_output_stream(G_IO_STREAM(client->connection));

    if (line == NULL || client->host == NULL) {
        client_free(client);
        return;
    }
    answer = bh_fake_control_run(client->host, line);
    text = g_strconcat(answer, "\n", NULL);
    if (g_output_stream_write_all(output, text, strlen(text), NULL, NULL, NULL))
        read_next(client);
    else
        client_free(client);
}

static void read_next(Client *client)
{
    g_data_input_stream_read_line_async(client->input, G_PRIORITY_DEFAULT, NULL, line_read, client);
}

static gboolean incoming(GSocketService *service, GSocketConnection *connection,
                         GObject *source_object, gpointer data)
{
    BhFakeControl *self = data;
    Client *client = g_new0(Client, 1);

    client->host = self->host;
    g_object_add_weak_pointer(G_OBJECT(client->host), (gpointer *)&client->host);
    client->connection = g_object_ref(connection);
    client->input = g_data_input_stream_new(g_io_stream_get_input_stream(G_IO_STREAM(connection)));
    read_next(client);
    return TRUE;
}

BhFakeControl *bh_fake_control_new(BhFakeHost *host, const char *path, GError **error)
{
    g_autoptr(GSocketAddress) address = g_unix_socket_address_new(path);
    g_autoptr(GSocketService) service = g_socket_service_new();
    BhFakeControl *self;

    /* A socket left by a killed process; anything else in the way is an error below. */
    if (g_file_test(path, G_FILE_TEST_EXISTS) && !g_file_test(path, G_FILE_TEST_IS_REGULAR))
        g_unlink(path);
    if (!g_socket_listener_add_address(G_SOCKET_LISTENER(service), address, G_SOCKET_TYPE_STREAM,
                                       G_SOCKET_PROTOCOL_DEFAULT, NULL, NULL, error))
        return NULL;
    g_chmod(path, 0600);
    self = g_new0(BhFakeControl, 1);
    self->host = host;
    self->path = g_strdup(path);
    self->service = g_steal_pointer(&service);
    g_signal_connect(self->service, "incoming", G_CALLBACK(incoming), self);
    g_socket_service_start(self->service);
    return self;
}

void bh_fake_control_free(BhFakeControl *self)
{
    g_signal_handlers_disconnect_by_data(self->service, self);
    g_socket_service_stop(self->service);
    g_socket_listener_close(G_SOCKET_LISTENER(self->service));
    g_object_unref(self->service);
    g_unlink(self->path);
    g_free(self->path);
    g_free(self);
}

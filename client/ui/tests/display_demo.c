/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A machine's window alone, on the SPICE socket of any QEMU: to try the display without a host.
 *
 * Usage: display_demo SPICE-SOCKET. The machine counts as running; it answers "force-off" and
 * "start" by changing its state only, so that the pages for a machine without a picture can be
 * seen.
 */
#include <gio/gunixsocketaddress.h>
#include <gtk/gtk.h>

#include <bulkhead/error.h>

#include "../display-window.h"

#define DEMO_TYPE_MACHINE (demo_machine_get_type())
G_DECLARE_FINAL_TYPE(DemoMachine, demo_machine, DEMO, MACHINE, BhMachine)

struct _DemoMachine {
    BhMachine parent_instance;
    char *socket;
};

G_DEFINE_TYPE(DemoMachine, demo_machine, BH_TYPE_MACHINE)

static void demo_machine_open_display(BhMachine *machine, GTask *task)
{
    g_autoptr(GSocketAddress) address = g_unix_socket_address_new(DEMO_MACHINE(machine)->socket);
    g_autoptr(GError) error = NULL;
    g_autoptr(GSocket) socket =
        g_socket_new(G_SOCKET_FAMILY_UNIX, G_SOCKET_TYPE_STREAM, G_SOCKET_PROTOCOL_DEFAULT, &error);

    if (socket && g_socket_connect(socket, address, NULL, &error))
        g_task_return_int(task, dup(g_socket_get_fd(socket)));
    else
        g_task_return_error(task, bh_error_new(BH_ERROR_DISCONNECTED, "Is QEMU running?",
                                               error->message, "The display does not answer."));
    g_object_unref(task);
}

static void demo_machine_act(BhMachine *machine, BhVerb verb, BhJob *job, GTask *task)
{
    if (verb == BH_VERB_START)
        bh_machine_set_state(machine, BH_STATE_RUNNING, NULL);
    else if (verb == BH_VERB_FORCE_OFF)
        bh_machine_set_state(machine, BH_STATE_OFF, NULL);
    g_task_return_boolean(task, TRUE);
    g_object_unref(task);
}

static void demo_machine_apply(BhMachine *machine, const BhMachineSpec *wanted, BhSpecFields fields,
                               BhJob *job, GTask *task)
{
    bh_machine_take_spec(machine, bh_machine_spec_copy(wanted));
    g_task_return_int(task, 0);
    g_object_unref(task);
}

static void demo_machine_class_init(DemoMachineClass *class)
{
    BH_MACHINE_CLASS(class)->open_display = demo_machine_open_display;
    BH_MACHINE_CLASS(class)->act = demo_machine_act;
    BH_MACHINE_CLASS(class)->apply = demo_machine_apply;
}

static void demo_machine_init(DemoMachine *self)
{
}

static void on_activate(GtkApplication *application, gpointer data)
{
    g_autoptr(DemoMachine) machine =
        g_object_new(DEMO_TYPE_MACHINE, "id", "8e4f2d1c-0000-4000-8000-000000000001", NULL);
    BhMachineSpec *spec = bh_machine_spec_new();

    machine->socket = data;
    spec->name = g_strdup("Demo");
    bh_machine_take_spec(BH_MACHINE(machine), spec);
    bh_machine_set_name(BH_MACHINE(machine), "Demo");
    bh_machine_set_display_kind(BH_MACHINE(machine), BH_DISPLAY_SPICE);
    bh_machine_set_state(BH_MACHINE(machine), BH_STATE_RUNNING, NULL);
    gtk_window_present(GTK_WINDOW(bh_display_window_new(application, BH_MACHINE(machine), NULL)));
}

int main(int argc, char **argv)
{
    g_autoptr(GtkApplication) application =
        gtk_application_new("org.bulkhead.DisplayDemo", G_APPLICATION_NON_UNIQUE);

    if (argc != 2) {
        g_printerr("Usage: %s SPICE-SOCKET\n", argv[0]);
        return 2;
    }
    g_signal_connect(application, "activate", G_CALLBACK(on_activate), argv[1]);
    return g_application_run(G_APPLICATION(application), 1, argv);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The chain of operations that makes a machine. One job stands for the whole chain. */
#include "new-machine-create.h"

#include <bulkhead/create.h>
#include <glib/gi18n.h>

#include "application.h"

typedef struct {
    BhSession *session;
    BhMachineSpec *spec;
    BhJob *job;
    char *image; /* the demo desktop's disk */
    gboolean run;
    BhCreated callback;
    gpointer data;
} Create;

static Create *create_new(BhSession *session, const char *title, BhCreated callback, gpointer data)
{
    Create *self = g_new0(Create, 1);

    self->session = g_object_ref(session);
    self->job = bh_job_new(title, NULL);
    self->callback = callback;
    self->data = data;
    g_application_hold(g_application_get_default());
    bh_session_add_job(session, self->job);
    return self;
}

static void create_end(Create *self, const GError *error)
{
    bh_session_finish_job(self->session, self->job, error);
    if (self->callback)
        self->callback(error, self->data);
    g_clear_pointer(&self->spec, bh_machine_spec_free);
    g_object_unref(self->job);
    g_object_unref(self->session);
    g_free(self->image);
    g_free(self);
    g_application_release(g_application_get_default());
}

static void on_created(GObject *source, GAsyncResult *result, gpointer data)
{
    Create *self = data;
    g_autoptr(GError) error = NULL;
    g_autoptr(BhMachine) machine = bh_host_create_machine_finish(BH_HOST(source), result, &error);
    gboolean run = machine && self->run;

    create_end(self, error);
    if (run)
        bh_application_open_machine(machine, NULL);
}

static void create_now(Create *self)
{
    bh_host_create_machine_async(bh_session_get_host(self->session), self->spec, self->job,
                                 on_created, self);
}

void bh_create_machine(BhSession *session, const BhMachineSpec *spec, gboolean run,
                       BhCreated callback, gpointer data)
{
    g_autofree char *title = g_strdup_printf(_("Creating “%s”"), spec->name);
    Create *self = create_new(session, title, callback, data);

    self->spec = bh_machine_spec_copy(spec);
    self->run = run;
    create_now(self);
}

/* The proposal looks the system up, which would block on a database that is not loaded. Should it
 * not load, the demo is still a modern system like any other. */
static void on_os_loaded(GObject *source, GAsyncResult *result, gpointer data)
{
    Create *self = data;
    g_autoptr(GError) error = NULL;

    if (!bh_os_db_load_finish(result, &error) &&
        g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CANCELLED)) {
        create_end(self, error);
        return;
    }
    self->spec = bh_spec_for_demo(bh_session_get_host(self->session), self->image);
    create_now(self);
}

static void on_prepared(GObject *source, GAsyncResult *result, gpointer data)
{
    Create *self = data;
    g_autoptr(GError) error = NULL;
    g_autofree char *image = bh_demo_prepare_finish(result, &error);

    if (!image) {
        create_end(self, error);
        return;
    }
    self->image = g_steal_pointer(&image);
    bh_os_db_load_async(bh_job_get_cancellable(self->job), on_os_loaded, self);
}

void bh_create_demo(BhSession *session, BhCreated callback, gpointer data)
{
    Create *self = create_new(session, _("Preparing the demo desktop"), callback, data);

    self->run = TRUE;
    bh_demo_prepare_async(self->job, on_prepared, self);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Running bulkhead-demo-build: its progress lines to a job, the job's cancellation to a SIGTERM,
 * its last words to an error. All on the main loop; three things must have ended before the answer
 * is given: the process, its standard output and its standard error.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>

#include <glib/gi18n-lib.h>

#include <bulkhead/create.h>
#include <bulkhead/error.h>

#include "operation.h"

#define BUILDER "bulkhead-demo-build"
#define MAX_ERROR_LINES 40
/* How long a build that was told to stop may tidy up. */
#define TIDY_SECONDS 60

typedef struct {
    GTask *task;
    BhJob *job;
    GSubprocess *process;
    GDataInputStream *output, *errors;
    GQueue last_words; /* of char*, standard error's last lines */
    char *path;
    gulong cancel_handler;
    guint kill_source;
    guint unfinished; /* of the three */
} Build;

static void build_free(Build *build)
{
    g_cancellable_disconnect(bh_job_get_cancellable(build->job), build->cancel_handler);
    g_clear_handle_id(&build->kill_source, g_source_remove);
    g_queue_clear_full(&build->last_words, g_free);
    g_clear_object(&build->process);
    g_clear_object(&build->output);
    g_clear_object(&build->errors);
    g_clear_object(&build->job);
    g_clear_object(&build->task);
    g_free(build->path);
    g_free(build);
}

char *bh_demo_get_path(void)
{
    return g_build_filename(g_get_user_cache_dir(), "bulkhead", "demo-desktop.qcow2", NULL);
}

static char *find_builder(void)
{
    const char *folder = g_getenv("BULKHEAD_LIBEXECDIR");

    return g_build_filename(folder != NULL && *folder != '\0' ? folder : BH_LIBEXECDIR, BUILDER,
                            NULL);
}

/* The builder ends with lines "bulkhead-demo-build: ...": what happened first, then what to do. */
static GError *explain(Build *build)
{
    g_autofree char *message = NULL;
    GString *hint = g_string_new(NULL);
    GString *detail = g_string_new(NULL);
    GError *error;

    for (GList *link = build->last_words.head; link != NULL; link = link->next) {
        const char *line = link->data;

        g_string_append_printf(detail, "%s\n", line);
        if (!g_str_has_prefix(line, BUILDER ": "))
            continue;
        line += strlen(BUILDER ": ");
        if (message == NULL)
            message = g_strdup(line);
        else
            g_string_append_printf(hint, "%s%s", hint->len > 0 ? " " : "", line);
    }
    if (message == NULL)
        message =
            g_strdup(_("The demo desktop could not be built: its builder ended unexpectedly."));
    error =
        bh_error_new(BH_ERROR_FAILED, hint->len > 0 ? hint->str : NULL, detail->str, "%s", message);
    g_string_free(hint, TRUE);
    g_string_free(detail, TRUE);
    return error;
}

static void build_end(Build *build)
{
    gboolean ok = g_subprocess_get_if_exited(build->process) &&
                  g_subprocess_get_exit_status(build->process) == 0;
    GError *error = NULL;

    /* A build that was done before it saw the signal counts as done. */
    if (ok)
        g_task_return_pointer(build->task, g_strdup(build->path), g_free);
    else if (g_cancellable_set_error_if_cancelled(bh_job_get_cancellable(build->job), &error))
        g_task_return_error(build->task, error);
    else
        g_task_return_error(build->task, explain(build));
    build_free(build);
}

static void one_ended(Build *build)
{
    if (--build->unfinished == 0)
        build_end(build);
}

static void read_line(Build *build, GDataInputStream *stream);

static void take_progress(Build *build, const char *line)
{
    int percent, used = 0;

    if (sscanf(line, "PROGRESS %d %n", &percent, &used) == 1 && used > 0)
        bh_job_report_fraction(build->job, CLAMP(percent, 0, 100) / 100.0, line + used);
}

static void line_read(GObject *source, GAsyncResult *result, gpointer data)
{
    Build *build = data;
    GDataInputStream *stream = G_DATA_INPUT_STREAM(source);
    g_autofree char *raw = g_data_input_stream_read_line_finish(stream, result, NULL, NULL);
    g_autofree char *line = NULL;

    if (raw == NULL) {
        one_ended(build);
        return;
    }
    line = g_utf8_make_valid(raw, -1);
    if (stream == build->output) {
        take_progress(build, line);
    } else {
        g_queue_push_tail(&build->last_words, g_steal_pointer(&line));
        if (build->last_words.length > MAX_ERROR_LINES)
            g_free(g_queue_pop_head(&build->last_words));
    }
    read_line(build, stream);
}

static void read_line(Build *build, GDataInputStream *stream)
{
    g_data_input_stream_read_line_async(stream, G_PRIORITY_DEFAULT, NULL, line_read, build);
}

static void process_ended(GObject *source, GAsyncResult *result, gpointer data)
{
    g_subprocess_wait_finish(G_SUBPROCESS(source), result, NULL);
    one_ended(data);
}

static gboolean still_there(gpointer data)
{
    Build *build = data;

    build->kill_source = 0;
    g_subprocess_force_exit(build->process);
    return G_SOURCE_REMOVE;
}

static void cancelled(GCancellable *cancellable, gpointer data)
{
    Build *build = data;

    g_subprocess_send_signal(build->process, SIGTERM);
    if (build->kill_source == 0)
        build->kill_source = g_timeout_add_seconds(TIDY_SECONDS, still_there, build);
}

/* In the child, before exec: it must not go on building for a program that is gone. */
static void child_setup(gpointer data)
{
    prctl(PR_SET_PDEATHSIG, SIGTERM);
}

static GSubprocess *spawn(const char *builder, const char *path, GError **error)
{
    g_autoptr(GSubprocessLauncher) launcher =
        g_subprocess_launcher_new(G_SUBPROCESS_FLAGS_STDOUT_PIPE | G_SUBPROCESS_FLAGS_STDERR_PIPE);
    g_autoptr(GError) why = NULL;
    GSubprocess *process;

    g_subprocess_launcher_set_child_setup(launcher, child_setup, NULL, NULL);
    process =
        g_subprocess_launcher_spawn(launcher, &why, builder, "--progress", "--output", path, NULL);
    if (process == NULL)
        g_propagate_error(error,
                          bh_error_new(BH_ERROR_NOT_SUPPORTED, _("Is Bulkhead fully installed?"),
                                       why->message,
                                       _("The demo desktop's builder %s cannot be run."), builder));
    return process;
}

void bh_demo_prepare_async(BhJob *job, GAsyncReadyCallback callback, gpointer data)
{
    g_autofree char *builder = find_builder();
    g_autofree char *path = bh_demo_get_path();
    g_autoptr(GTask) task =
        bh_operation_new(NULL, job, bh_demo_prepare_async, NULL, callback, data);
    g_autoptr(GSubprocess) process = NULL;
    GError *error = NULL;
    Build *build;

    if (!g_cancellable_set_error_if_cancelled(bh_job_get_cancellable(job), &error))
        process = spawn(builder, path, &error);
    if (process == NULL) {
        g_task_return_error(task, error);
        return;
    }
    build = g_new0(Build, 1);
    build->task = g_steal_pointer(&task);
    build->job = job != NULL ? g_object_ref(job) : NULL;
    build->process = g_steal_pointer(&process);
    build->path = g_steal_pointer(&path);
    build->output = g_data_input_stream_new(g_subprocess_get_stdout_pipe(build->process));
    build->errors = g_data_input_stream_new(g_subprocess_get_stderr_pipe(build->process));
    build->unfinished = 3;
    if (job != NULL)
        build->cancel_handler =
            g_cancellable_connect(bh_job_get_cancellable(job), G_CALLBACK(cancelled), build, NULL);
    read_line(build, build->output);
    read_line(build, build->errors);
    g_subprocess_wait_async(build->process, NULL, process_ended, build);
}

char *bh_demo_prepare_finish(GAsyncResult *result, GError **error)
{
    return g_task_propagate_pointer(G_TASK(result), error);
}

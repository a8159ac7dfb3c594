/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * child.h. PR_SET_PDEATHSIG is tied to the *thread* that forked, which is why this call blocks
 * until the child is gone instead of handing it to the main loop: a pool thread that ended would
 * kill it.
 */
#include "child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAX_OUTPUT (1024 * 1024)
#define MAX_ERRORS (16 * 1024)
#define POLL_MS 100

typedef struct {
    const BhChildLimits *limits;
    pid_t parent;
} Setup;

typedef struct {
    const BhChildLimits *limits;
    GCancellable *cancellable;
    BhChildResult *result;
    pid_t pid;
    int out, err; /* -1 after end of file */
    gboolean reaped;
    gint64 deadline; /* monotonic, or 0 */
    GString *output, *errors;
    gsize seen;
} Child;

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static void set_limit(int resource, guint64 value)
{
    struct rlimit limit = {value, value};
    if (value > 0)
        setrlimit(resource, &limit);
}

/* Runs between fork and exec of a threaded program: async-signal-safe calls only. */
static void child_setup(gpointer data)
{
    const Setup *setup = data;
    const BhChildLimits *limits = setup->limits;
    struct rlimit no_core = {0, 0};

    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != setup->parent)
        _exit(127);
    setrlimit(RLIMIT_CORE, &no_core);
    set_limit(RLIMIT_CPU, limits->cpu_seconds);
    set_limit(RLIMIT_AS, limits->address_space);
    set_limit(RLIMIT_FSIZE, limits->file_size);
    if (limits->file_size > 0)
        signal(SIGXFSZ, SIG_IGN); /* so that the program sees EFBIG and says what happened */
    if (limits->pass_fd > 0)
        fcntl(limits->pass_fd, F_SETFD, 0);
}

static void kill_child(Child *self)
{
    if (self->reaped)
        return;
    /* The group may not exist yet when the child has not run its setup: hit both. */
    kill(-self->pid, SIGKILL);
    kill(self->pid, SIGKILL);
}

static void take_output(Child *self, const char *text, gsize length)
{
    gsize max = self->limits->max_output ? self->limits->max_output : MAX_OUTPUT;

    self->seen += length;
    if (self->limits->on_output) {
        self->limits->on_output(text, length, self->limits->data);
        return;
    }
    if (self->seen > max) {
        self->result->too_long = TRUE;
        kill_child(self);
        return;
    }
    g_string_append_len(self->output, text, length);
}

/* Reads what is there. FALSE at end of file. */
static gboolean drain(Child *self, int fd, gboolean is_errors)
{
    char buffer[4096];

    for (;;) {
        ssize_t n = read(fd, buffer, sizeof buffer);
        if (n == 0)
            return FALSE;
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno == EAGAIN;
        if (!is_errors)
            take_output(self, buffer, n);
        else if (self->errors->len < MAX_ERRORS)
            g_string_append_len(self->errors, buffer,
                                MIN((gsize)n, MAX_ERRORS - self->errors->len));
    }
}

static void drain_both(Child *self)
{
    if (self->out >= 0 && !drain(self, self->out, FALSE))
        close_fd(&self->out);
    if (self->err >= 0 && !drain(self, self->err, TRUE))
        close_fd(&self->err);
}

static int next_poll(const Child *self)
{
    gint64 left;

    if (self->out < 0 && self->err < 0)
        return 5; /* both ends closed: it is about to exit */
    if (!self->deadline)
        return POLL_MS;
    left = (self->deadline - g_get_monotonic_time()) / 1000;
    return (int)CLAMP(left, 1, POLL_MS);
}

/* Kills what the child left behind in its group before it is reaped: only until then is the
 * number surely its own. */
static void try_reap(Child *self)
{
    siginfo_t info = {0};
    int status = -1;

    if (waitid(P_PID, self->pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == 0)
        return;
    kill(-self->pid, SIGKILL);
    while (waitpid(self->pid, &status, 0) < 0 && errno == EINTR)
        continue;
    self->reaped = TRUE;
    self->result->status = status;
    /* The limit on processor time shows as one of these two, and means the same as a time-out. */
    if (self->limits->cpu_seconds && WIFSIGNALED(status) &&
        (WTERMSIG(status) == SIGXCPU || WTERMSIG(status) == SIGKILL))
        self->result->timed_out = TRUE;
}

static void wait_for_end(Child *self)
{
    while (!self->reaped) {
        GPollFD cancel = {.fd = -1};
        struct pollfd fds[3];
        gboolean pollable = g_cancellable_make_pollfd(self->cancellable, &cancel);

        fds[0] = (struct pollfd){self->out, POLLIN, 0};
        fds[1] = (struct pollfd){self->err, POLLIN, 0};
        fds[2] = (struct pollfd){pollable ? cancel.fd : -1, POLLIN, 0};
        poll(fds, 3, next_poll(self));
        if (pollable)
            g_cancellable_release_fd(self->cancellable);
        if (g_cancellable_is_cancelled(self->cancellable))
            kill_child(self);
        if (self->deadline && g_get_monotonic_time() >= self->deadline) {
            self->result->timed_out = TRUE;
            kill_child(self);
        }
        drain_both(self);
        try_reap(self);
    }
    drain_both(self);
}

static void finish_result(Child *self)
{
    BhChildResult *result = self->result;
    g_autofree char *errors = g_utf8_make_valid(self->errors->str, self->errors->len);

    result->output_length = self->output->len;
    result->output = g_string_free(g_steal_pointer(&self->output), FALSE);
    result->errors = g_strchomp(g_steal_pointer(&errors));
    g_string_free(g_steal_pointer(&self->errors), TRUE);
}

/* Untranslated messages: some of them are matched. */
static char **make_environment(void)
{
    char **env = g_get_environ();

    env = g_environ_setenv(env, "LC_ALL", "C.UTF-8", TRUE);
    return g_environ_unsetenv(env, "LANGUAGE");
}

gboolean bh_child_run(const char *const *argv, const BhChildLimits *limits,
                      GCancellable *cancellable, BhChildResult *result, GError **error)
{
    static const BhChildLimits none;
    g_auto(GStrv) env = make_environment();
    Child self = {.limits = limits ? limits : &none, .cancellable = cancellable, .result = result};
    Setup setup = {self.limits, getpid()};

    *result = (BhChildResult){0};
    if (g_cancellable_set_error_if_cancelled(cancellable, error))
        return FALSE;
    if (!g_spawn_async_with_pipes(
            NULL, (char **)argv, env,
            G_SPAWN_DO_NOT_REAP_CHILD | G_SPAWN_SEARCH_PATH | G_SPAWN_CLOEXEC_PIPES, child_setup,
            &setup, &self.pid, NULL, &self.out, &self.err, error))
        return FALSE;
    fcntl(self.out, F_SETFL, O_NONBLOCK);
    fcntl(self.err, F_SETFL, O_NONBLOCK);
    self.output = g_string_new(NULL);
    self.errors = g_string_new(NULL);
    if (self.limits->timeout_ms)
        self.deadline = g_get_monotonic_time() + self.limits->timeout_ms * G_GINT64_CONSTANT(1000);
    wait_for_end(&self);
    close_fd(&self.out);
    close_fd(&self.err);
    finish_result(&self);
    return !g_cancellable_set_error_if_cancelled(cancellable, error);
}

gboolean bh_child_succeeded(const BhChildResult *result)
{
    return !result->timed_out && !result->too_long && WIFEXITED(result->status) &&
           WEXITSTATUS(result->status) == 0;
}

void bh_child_result_clear(BhChildResult *self)
{
    g_clear_pointer(&self->output, g_free);
    g_clear_pointer(&self->errors, g_free);
}

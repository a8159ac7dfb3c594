/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The SPICE connection of one machine: sockets for its channels, loss and return.
 *
 * Invariants: session is non-NULL exactly in CONNECTING and OPEN. A session that is let go has all
 * our handlers removed first, because spice-gtk tears it down from an idle callback and still emits
 * signals while it does.
 */
#include <dlfcn.h>
#include <glib/gi18n.h>
#include <unistd.h>

#include <bulkhead/error.h>

#include "display-link.h"

#define FIRST_PAUSE_MS 200
#define LONGEST_PAUSE_MS 5000
/* A connection that held this long was a good one: the next loss starts with a short pause again.
 * A shorter one may be a fight with another viewer, which must not become a busy loop. */
#define PROVEN_US (10 * G_USEC_PER_SEC)

struct _BhDisplayLink {
    GObject parent_instance;
    BhMachine *machine;
    SpiceSession *session;
    SpiceMainChannel *main; /* borrowed from session */
    BhLinkState state;
    GError *error;
    guint pause_ms;
    guint pause_source;
    guint failures;     /* since the last proven connection */
    gint64 opened_time; /* of the current connection, or 0 */
    gboolean started;
    gboolean agent;
};

enum { SIGNAL_CHANGED, SIGNAL_SESSION, N_SIGNALS };
static guint signals[N_SIGNALS];

G_DEFINE_TYPE(BhDisplayLink, bh_display_link, G_TYPE_OBJECT)

static void link_update(BhDisplayLink *self);

static void link_changed(BhDisplayLink *self)
{
    g_signal_emit(self, signals[SIGNAL_CHANGED], 0);
}

static void link_forgive(BhDisplayLink *self)
{
    self->pause_ms = FIRST_PAUSE_MS;
    self->failures = 0;
}

static void forget_channel(gpointer channel, gpointer self)
{
    g_signal_handlers_disconnect_by_data(channel, self);
}

/* Lets the session go, without a trace of us in it. */
static void drop_session(BhDisplayLink *self)
{
    SpiceSession *session = g_steal_pointer(&self->session);
    g_autoptr(GObject) owner = (GObject *)session; /* spice-gtk's types have no autoptr */
    g_autoptr(GList) channels = NULL;

    self->main = NULL;
    self->agent = FALSE;
    self->opened_time = 0;
    if (!session)
        return;
    g_signal_handlers_disconnect_by_data(session, self);
    channels = spice_session_get_channels(session);
    g_list_foreach(channels, forget_channel, self);
    g_signal_emit(self, signals[SIGNAL_SESSION], 0, NULL);
    spice_session_disconnect(session);
}

static gboolean on_pause_over(gpointer data)
{
    BhDisplayLink *self = BH_DISPLAY_LINK(data);

    self->pause_source = 0;
    self->state = BH_LINK_IDLE;
    link_update(self);
    return G_SOURCE_REMOVE;
}

/* Takes the error. A machine that is on its way down needs no new attempt: its state tells. */
static void link_lost(BhDisplayLink *self, GError *error)
{
    if (self->opened_time && g_get_monotonic_time() - self->opened_time > PROVEN_US)
        link_forgive(self);
    self->failures++;
    drop_session(self);
    g_clear_error(&self->error);
    self->error = error;
    g_clear_handle_id(&self->pause_source, g_source_remove);
    self->state = BH_LINK_WAITING;
    self->pause_source = g_timeout_add(self->pause_ms, on_pause_over, self);
    self->pause_ms = MIN(self->pause_ms * 2, LONGEST_PAUSE_MS);
    link_changed(self);
}

/* One socket for one channel. The channel or the whole session may be gone when it arrives. */
typedef struct {
    GWeakRef link;
    GWeakRef channel;
} FdRequest;

static void fd_request_free(FdRequest *request)
{
    g_weak_ref_clear(&request->link);
    g_weak_ref_clear(&request->channel);
    g_free(request);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(FdRequest, fd_request_free)

static void on_fd(GObject *source, GAsyncResult *result, gpointer data)
{
    g_autoptr(FdRequest) request = data;
    g_autoptr(BhDisplayLink) self = g_weak_ref_get(&request->link);
    g_autoptr(GObject) channel = g_weak_ref_get(&request->channel);
    g_autoptr(GError) error = NULL;
    g_autoptr(GObject) session = NULL;
    int fd = bh_machine_open_display_finish(BH_MACHINE(source), result, &error);

    if (channel)
        g_object_get(channel, "spice-session", &session, NULL);
    if (!self || !session || session != (GObject *)self->session) {
        if (fd >= 0)
            close(fd);
        return;
    }
    if (fd >= 0) {
        if (!spice_channel_open_fd(SPICE_CHANNEL(channel), fd))
            g_warning("the display's channel did not take its socket");
    } else if (SPICE_IS_MAIN_CHANNEL(channel) || SPICE_IS_DISPLAY_CHANNEL(channel)) {
        link_lost(self, g_steal_pointer(&error));
    } else {
        g_warning("no socket for a display channel: %s", error->message);
    }
}

static void on_open_fd(SpiceChannel *channel, int with_tls, BhDisplayLink *self)
{
    FdRequest *request;

    /* The microphone: whatever spice-gtk is up to, it gets no connection. */
    if (SPICE_IS_RECORD_CHANNEL(channel))
        return;
    request = g_new0(FdRequest, 1);
    g_weak_ref_init(&request->link, self);
    g_weak_ref_init(&request->channel, channel);
    bh_machine_open_display_async(self->machine, NULL, on_fd, request);
}

static GError *channel_error(SpiceChannel *channel)
{
    const GError *cause = spice_channel_get_error(channel);

    return bh_error_new(BH_ERROR_DISCONNECTED, _("It is tried again by itself."),
                        cause ? cause->message : NULL,
                        _("The connection to the machine's display was lost."));
}

static void on_channel_event(SpiceChannel *channel, SpiceChannelEvent event, BhDisplayLink *self)
{
    gboolean vital = SPICE_IS_MAIN_CHANNEL(channel) || SPICE_IS_DISPLAY_CHANNEL(channel);

    if (event == SPICE_CHANNEL_OPENED && SPICE_IS_MAIN_CHANNEL(channel)) {
        self->main = SPICE_MAIN_CHANNEL(channel);
        self->state = BH_LINK_OPEN;
        self->opened_time = g_get_monotonic_time();
        g_clear_error(&self->error);
        link_changed(self);
    } else if (vital && (event == SPICE_CHANNEL_CLOSED || event >= SPICE_CHANNEL_ERROR_CONNECT)) {
        link_lost(self, channel_error(channel));
    }
}

static void on_agent(GObject *channel, GParamSpec *pspec, BhDisplayLink *self)
{
    g_object_get(channel, "agent-connected", &self->agent, NULL);
    link_changed(self);
}

static void on_channel_new(SpiceSession *session, SpiceChannel *channel, BhDisplayLink *self)
{
    g_signal_connect(channel, "open-fd", G_CALLBACK(on_open_fd), self);
    g_signal_connect(channel, "channel-event", G_CALLBACK(on_channel_event), self);
    if (SPICE_IS_MAIN_CHANNEL(channel))
        g_signal_connect(channel, "notify::agent-connected", G_CALLBACK(on_agent), self);
}

static void on_channel_destroy(SpiceSession *session, SpiceChannel *channel, BhDisplayLink *self)
{
    forget_channel(channel, self);
}

static void on_disconnected(SpiceSession *session, BhDisplayLink *self)
{
    link_lost(self, bh_error_new(BH_ERROR_DISCONNECTED, _("It is tried again by itself."), NULL,
                                 _("The connection to the machine's display was lost.")));
}

static void link_connect(BhDisplayLink *self)
{
    self->session = spice_session_new();
    /* No folder of the user is offered to the guest unasked, and smartcards are not ours. */
    g_object_set(self->session, "client-sockets", TRUE, "enable-audio", TRUE, "enable-usbredir",
                 TRUE, "enable-smartcard", FALSE, "shared-dir", NULL, NULL);
    g_signal_connect(self->session, "channel-new", G_CALLBACK(on_channel_new), self);
    g_signal_connect(self->session, "channel-destroy", G_CALLBACK(on_channel_destroy), self);
    g_signal_connect(self->session, "disconnected", G_CALLBACK(on_disconnected), self);
    self->state = BH_LINK_CONNECTING;
    g_signal_emit(self, signals[SIGNAL_SESSION], 0, self->session);
    /* -1: the main channel asks for its socket as all others do. */
    if (!spice_session_open_fd(self->session, -1))
        link_lost(self, bh_error_new(BH_ERROR_FAILED, NULL, NULL,
                                     _("The connection to the display could not be set up.")));
    else
        link_changed(self);
}

/* --- the first connection of the process --- */

/* spice-gtk initialises GStreamer on the main thread when it makes its first display channel, and
 * that may have to look at every plug-in of the system. It is done here on a worker beforehand.
 * GStreamer is spice-gtk's dependency, not ours: its function is looked up where it is loaded
 * already. */
static void load_codecs(GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
    gboolean (*init_check)(int *, char ***, GError **);

    init_check = (gboolean(*)(int *, char ***, GError **))dlsym(RTLD_DEFAULT, "gst_init_check");
    if (init_check)
        init_check(NULL, NULL, NULL);
    g_task_return_boolean(task, TRUE);
}

static gboolean codecs_loaded;

static void on_codecs(GObject *source, GAsyncResult *result, gpointer data)
{
    codecs_loaded = TRUE;
    link_update(BH_DISPLAY_LINK(source));
}

static gboolean link_wanted(BhDisplayLink *self)
{
    BhState state = bh_machine_get_state(self->machine);

    return self->started && codecs_loaded && bh_machine_is_active(self->machine) &&
           state != BH_STATE_STARTING &&
           bh_machine_get_display_kind(self->machine) == BH_DISPLAY_SPICE;
}

static void link_update(BhDisplayLink *self)
{
    gboolean wanted = link_wanted(self);

    if (wanted && self->state == BH_LINK_IDLE) {
        link_connect(self);
    } else if (!wanted && self->state != BH_LINK_IDLE) {
        g_clear_handle_id(&self->pause_source, g_source_remove);
        g_clear_error(&self->error);
        drop_session(self);
        link_forgive(self);
        self->state = BH_LINK_IDLE;
        link_changed(self);
    }
}

static void bh_display_link_dispose(GObject *object)
{
    BhDisplayLink *self = BH_DISPLAY_LINK(object);

    bh_display_link_close(self);
    if (self->machine)
        g_signal_handlers_disconnect_by_data(self->machine, self);
    g_clear_object(&self->machine);
    g_clear_error(&self->error);
    G_OBJECT_CLASS(bh_display_link_parent_class)->dispose(object);
}

static void bh_display_link_class_init(BhDisplayLinkClass *class)
{
    G_OBJECT_CLASS(class)->dispose = bh_display_link_dispose;
    signals[SIGNAL_CHANGED] = g_signal_new("changed", BH_TYPE_DISPLAY_LINK, G_SIGNAL_RUN_LAST, 0,
                                           NULL, NULL, NULL, G_TYPE_NONE, 0);
    signals[SIGNAL_SESSION] = g_signal_new("session", BH_TYPE_DISPLAY_LINK, G_SIGNAL_RUN_LAST, 0,
                                           NULL, NULL, NULL, G_TYPE_NONE, 1, SPICE_TYPE_SESSION);
}

static void bh_display_link_init(BhDisplayLink *self)
{
    self->pause_ms = FIRST_PAUSE_MS;
}

BhDisplayLink *bh_display_link_new(BhMachine *machine)
{
    BhDisplayLink *self = g_object_new(BH_TYPE_DISPLAY_LINK, NULL);

    self->machine = g_object_ref(machine);
    g_signal_connect_swapped(machine, "notify::state", G_CALLBACK(link_update), self);
    g_signal_connect_swapped(machine, "notify::display-kind", G_CALLBACK(link_update), self);
    return self;
}

BhLinkState bh_display_link_get_state(BhDisplayLink *self)
{
    return self->state;
}

const GError *bh_display_link_get_error(BhDisplayLink *self)
{
    return self->error;
}

guint bh_display_link_get_failures(BhDisplayLink *self)
{
    return self->failures;
}

SpiceSession *bh_display_link_get_session(BhDisplayLink *self)
{
    return self->session;
}

SpiceMainChannel *bh_display_link_get_main(BhDisplayLink *self)
{
    return self->main;
}

gboolean bh_display_link_has_agent(BhDisplayLink *self)
{
    return self->agent;
}

void bh_display_link_start(BhDisplayLink *self)
{
    self->started = TRUE;
    if (codecs_loaded) {
        link_update(self);
    } else {
        g_autoptr(GTask) task = g_task_new(self, NULL, on_codecs, NULL);
        g_task_run_in_thread(task, load_codecs);
    }
}

void bh_display_link_retry(BhDisplayLink *self)
{
    if (self->state != BH_LINK_WAITING)
        return;
    g_clear_handle_id(&self->pause_source, g_source_remove);
    on_pause_over(self);
}

void bh_display_link_close(BhDisplayLink *self)
{
    self->started = FALSE;
    if (self->machine)
        link_update(self);
}

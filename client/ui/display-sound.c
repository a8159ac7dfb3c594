/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From the SPICE playback channel to PulseAudio (or PipeWire, which speaks the same protocol).
 *
 * One stream per machine, made when the guest starts to play and drained when it stops. What is
 * heard is the user's volume times the guest's own (the guest's mixer sends it along). Everything
 * is asynchronous on the main loop; samples that come while no server answers are dropped.
 */
#include "display-sound.h"

#include <math.h>
#include <pulse/glib-mainloop.h>
#include <pulse/pulseaudio.h>

/* Sound that lags more than this behind the picture is thrown away rather than played late. */
#define MAX_BUFFER_US (400 * PA_USEC_PER_MSEC)
#define TARGET_BUFFER_US (80 * PA_USEC_PER_MSEC)
/* A guest may play without a pause for days; its sound comes back when the server does. */
#define RETRY_SECONDS 2

struct _BhDisplaySound {
    GObject parent_instance;
    char *name;
    SpiceSession *session;
    SpiceChannel *channel; /* playback, borrowed from session */
    pa_glib_mainloop *loop;
    pa_context *context;
    pa_stream *stream;
    pa_sample_spec spec; /* rate 0: the guest does not play */
    double volume, guest_volume;
    gboolean muted, guest_muted;
    guint retry_source;
};

enum { SIGNAL_CHANGED, N_SIGNALS };
static guint signals[N_SIGNALS];

G_DEFINE_TYPE(BhDisplaySound, bh_display_sound, G_TYPE_OBJECT)

static void drop_operation(pa_operation *operation)
{
    if (operation)
        pa_operation_unref(operation);
}

static void make_volume(BhDisplaySound *self, pa_cvolume *volume)
{
    double linear = CLAMP(self->volume * self->guest_volume, 0, 1);

    pa_cvolume_set(volume, self->spec.channels, round(linear * PA_VOLUME_NORM));
}

static gboolean is_muted(BhDisplaySound *self)
{
    return self->muted || self->guest_muted;
}

static void apply_volume(BhDisplaySound *self)
{
    pa_cvolume volume;
    uint32_t index;

    if (!self->stream || pa_stream_get_state(self->stream) != PA_STREAM_READY)
        return;
    index = pa_stream_get_index(self->stream);
    make_volume(self, &volume);
    drop_operation(pa_context_set_sink_input_volume(self->context, index, &volume, NULL, NULL));
    drop_operation(
        pa_context_set_sink_input_mute(self->context, index, is_muted(self), NULL, NULL));
}

static void close_stream(BhDisplaySound *self)
{
    if (!self->stream)
        return;
    pa_stream_set_state_callback(self->stream, NULL, NULL);
    pa_stream_disconnect(self->stream);
    g_clear_pointer(&self->stream, pa_stream_unref);
}

static void close_context(BhDisplaySound *self)
{
    close_stream(self);
    g_clear_handle_id(&self->retry_source, g_source_remove);
    if (!self->context)
        return;
    pa_context_set_state_callback(self->context, NULL, NULL);
    pa_context_disconnect(self->context);
    g_clear_pointer(&self->context, pa_context_unref);
}

static void on_stream_state(pa_stream *stream, void *data)
{
    BhDisplaySound *self = BH_DISPLAY_SOUND(data);

    /* The choices may have changed since the stream was asked for. */
    if (pa_stream_get_state(stream) == PA_STREAM_READY)
        apply_volume(self);
}

static void open_stream(BhDisplaySound *self)
{
    const pa_buffer_attr buffer = {
        .maxlength = pa_usec_to_bytes(MAX_BUFFER_US, &self->spec),
        .tlength = pa_usec_to_bytes(TARGET_BUFFER_US, &self->spec),
        .prebuf = -1,
        .minreq = -1,
        .fragsize = -1,
    };
    pa_stream_flags_t flags =
        PA_STREAM_INTERPOLATE_TIMING | PA_STREAM_AUTO_TIMING_UPDATE | PA_STREAM_ADJUST_LATENCY;
    pa_cvolume volume;

    if (self->stream || !self->spec.rate)
        return;
    make_volume(self, &volume);
    self->stream = pa_stream_new(self->context, self->name, &self->spec, NULL);
    if (!self->stream)
        return;
    pa_stream_set_state_callback(self->stream, on_stream_state, self);
    if (is_muted(self))
        flags |= PA_STREAM_START_MUTED;
    pa_stream_connect_playback(self->stream, NULL, &buffer, flags, &volume, NULL);
}

static void open_context(BhDisplaySound *self);

static gboolean on_retry(gpointer data)
{
    BhDisplaySound *self = BH_DISPLAY_SOUND(data);

    self->retry_source = 0;
    if (self->spec.rate)
        open_context(self);
    return G_SOURCE_REMOVE;
}

static void on_context_state(pa_context *context, void *data)
{
    BhDisplaySound *self = BH_DISPLAY_SOUND(data);
    pa_context_state_t state = pa_context_get_state(context);

    if (state == PA_CONTEXT_READY)
        open_stream(self);
    else if (!PA_CONTEXT_IS_GOOD(state) && !self->retry_source)
        self->retry_source = g_timeout_add_seconds(RETRY_SECONDS, on_retry, self);
}

/* No autospawn: starting a server would block, and desktops start theirs on connection. */
static void open_context(BhDisplaySound *self)
{
    pa_proplist *properties;

    if (self->context && PA_CONTEXT_IS_GOOD(pa_context_get_state(self->context)))
        return;
    close_context(self);
    if (!self->loop)
        self->loop = pa_glib_mainloop_new(NULL);
    properties = pa_proplist_new();
    pa_proplist_sets(properties, PA_PROP_APPLICATION_ID, BH_APP_ID);
    pa_proplist_sets(properties, PA_PROP_APPLICATION_ICON_NAME, BH_APP_ID);
    self->context =
        pa_context_new_with_proplist(pa_glib_mainloop_get_api(self->loop), "Bulkhead", properties);
    pa_proplist_free(properties);
    pa_context_set_state_callback(self->context, on_context_state, self);
    pa_context_connect(self->context, NULL, PA_CONTEXT_NOAUTOSPAWN, NULL);
}

static void on_playback_start(SpicePlaybackChannel *channel, int format, int channels, int rate,
                              BhDisplaySound *self)
{
    pa_sample_spec spec = {PA_SAMPLE_S16LE, rate, channels};

    if (format != SPICE_AUDIO_FMT_S16 || !pa_sample_spec_valid(&spec))
        return;
    if (!pa_sample_spec_equal(&spec, &self->spec))
        close_stream(self);
    self->spec = spec;
    open_context(self);
    if (pa_context_get_state(self->context) == PA_CONTEXT_READY)
        open_stream(self);
}

static void report_delay(BhDisplaySound *self)
{
    pa_usec_t latency = 0;
    int negative = 0;

    if (pa_stream_get_latency(self->stream, &latency, &negative) == 0 && !negative)
        spice_playback_channel_set_delay(SPICE_PLAYBACK_CHANNEL(self->channel),
                                         latency / PA_USEC_PER_MSEC);
}

static void on_playback_data(SpicePlaybackChannel *channel, gpointer samples, int size,
                             BhDisplaySound *self)
{
    size_t writable;

    if (!self->stream || pa_stream_get_state(self->stream) != PA_STREAM_READY || size <= 0)
        return;
    writable = pa_stream_writable_size(self->stream);
    if (writable == (size_t)-1 || writable < (size_t)size)
        return;
    pa_stream_write(self->stream, samples, size, NULL, 0, PA_SEEK_RELATIVE);
    report_delay(self);
}

static void on_playback_stop(SpicePlaybackChannel *channel, BhDisplaySound *self)
{
    self->spec.rate = 0;
    if (self->stream && pa_stream_get_state(self->stream) == PA_STREAM_READY)
        drop_operation(pa_stream_drain(self->stream, NULL, NULL));
    close_stream(self);
}

static void on_guest_volume(GObject *channel, GParamSpec *pspec, BhDisplaySound *self)
{
    guint16 *volume = NULL;
    guint n = 0;

    g_object_get(channel, "volume", &volume, "nchannels", &n, "mute", &self->guest_muted, NULL);
    /* One factor for all channels: the loudest. Balance stays in the guest's own mix. */
    if (volume && n > 0) {
        guint16 loudest = 0;
        for (guint i = 0; i < n; i++)
            loudest = MAX(loudest, volume[i]);
        self->guest_volume = loudest / 65535.0;
    }
    apply_volume(self);
}

/* --- spice-gtk's own audio, kept quiet --- */

static gboolean quiet_connect(SpiceAudio *audio, SpiceChannel *channel)
{
    return FALSE;
}

static void quiet_volume_async(SpiceAudio *audio, GCancellable *cancellable, SpiceMainChannel *main,
                               GAsyncReadyCallback callback, gpointer data)
{
    g_autoptr(GTask) task = g_task_new(audio, cancellable, callback, data);

    g_task_return_boolean(task, FALSE);
}

static gboolean quiet_volume_finish(SpiceAudio *audio, GAsyncResult *result, gboolean *mute,
                                    guint8 *nchannels, guint16 **volume, GError **error)
{
    *volume = NULL;
    *nchannels = 0;
    g_task_propagate_boolean(G_TASK(result), NULL);
    return FALSE;
}

/* As soon as an agent answers, spice-gtk makes an audio backend by itself: to send the volume of
 * this computer to the guest (which mutes it when it could not be read), to play, and to record.
 * There is no switch for that, but the backend's class is public: it learns to refuse. */
static void quieten_spice(SpiceSession *session)
{
    SpiceAudio *audio = spice_audio_get(session, NULL);
    SpiceAudioClass *class;

    if (!audio)
        return;
    class = SPICE_AUDIO_GET_CLASS(audio);
    class->connect_channel = quiet_connect;
    class->get_playback_volume_info_async = quiet_volume_async;
    class->get_playback_volume_info_finish = quiet_volume_finish;
    class->get_record_volume_info_async = quiet_volume_async;
    class->get_record_volume_info_finish = quiet_volume_finish;
}

static void forget_channel(BhDisplaySound *self)
{
    if (self->channel)
        g_signal_handlers_disconnect_by_data(self->channel, self);
    self->channel = NULL;
    self->spec.rate = 0;
    self->guest_volume = 1;
    self->guest_muted = FALSE;
    close_stream(self);
}

static void on_channel_new(SpiceSession *session, SpiceChannel *channel, BhDisplaySound *self)
{
    if (!SPICE_IS_PLAYBACK_CHANNEL(channel) || self->channel)
        return;
    self->channel = channel;
    g_signal_connect(channel, "playback-start", G_CALLBACK(on_playback_start), self);
    g_signal_connect(channel, "playback-data", G_CALLBACK(on_playback_data), self);
    g_signal_connect(channel, "playback-stop", G_CALLBACK(on_playback_stop), self);
    g_signal_connect(channel, "notify::volume", G_CALLBACK(on_guest_volume), self);
    g_signal_connect(channel, "notify::mute", G_CALLBACK(on_guest_volume), self);
    spice_channel_connect(channel);
    g_signal_emit(self, signals[SIGNAL_CHANGED], 0);
}

static void on_channel_destroy(SpiceSession *session, SpiceChannel *channel, BhDisplaySound *self)
{
    if (channel != self->channel)
        return;
    forget_channel(self);
    g_signal_emit(self, signals[SIGNAL_CHANGED], 0);
}

void bh_display_sound_set_session(BhDisplaySound *self, SpiceSession *session)
{
    if (self->session == session)
        return;
    forget_channel(self);
    if (self->session)
        g_signal_handlers_disconnect_by_data(self->session, self);
    g_set_object(&self->session, session);
    if (session) {
        quieten_spice(session);
        g_signal_connect(session, "channel-new", G_CALLBACK(on_channel_new), self);
        g_signal_connect(session, "channel-destroy", G_CALLBACK(on_channel_destroy), self);
    }
    g_signal_emit(self, signals[SIGNAL_CHANGED], 0);
}

void bh_display_sound_close(BhDisplaySound *self)
{
    bh_display_sound_set_session(self, NULL);
    close_context(self);
    g_clear_pointer(&self->loop, pa_glib_mainloop_free);
}

static void bh_display_sound_dispose(GObject *object)
{
    bh_display_sound_close(BH_DISPLAY_SOUND(object));
    G_OBJECT_CLASS(bh_display_sound_parent_class)->dispose(object);
}

static void bh_display_sound_finalize(GObject *object)
{
    g_free(BH_DISPLAY_SOUND(object)->name);
    G_OBJECT_CLASS(bh_display_sound_parent_class)->finalize(object);
}

static void bh_display_sound_class_init(BhDisplaySoundClass *class)
{
    G_OBJECT_CLASS(class)->dispose = bh_display_sound_dispose;
    G_OBJECT_CLASS(class)->finalize = bh_display_sound_finalize;
    signals[SIGNAL_CHANGED] = g_signal_new("changed", BH_TYPE_DISPLAY_SOUND, G_SIGNAL_RUN_LAST, 0,
                                           NULL, NULL, NULL, G_TYPE_NONE, 0);
}

static void bh_display_sound_init(BhDisplaySound *self)
{
    self->volume = self->guest_volume = 1;
}

BhDisplaySound *bh_display_sound_new(const char *name)
{
    BhDisplaySound *self = g_object_new(BH_TYPE_DISPLAY_SOUND, NULL);

    self->name = g_strdup(name);
    return self;
}

gboolean bh_display_sound_is_available(BhDisplaySound *self)
{
    return self->channel != NULL;
}

void bh_display_sound_set_volume(BhDisplaySound *self, double volume)
{
    self->volume = volume;
    apply_volume(self);
}

void bh_display_sound_set_muted(BhDisplaySound *self, gboolean muted)
{
    self->muted = muted;
    apply_volume(self);
}

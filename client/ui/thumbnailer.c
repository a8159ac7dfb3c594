/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fetches screenshots: only of running machines that are on screen, each at most every 3 s, two at
 * a time, decoded and scaled on a worker thread. Pictures hang on their machines; the oldest are
 * dropped, so that scrolling over 1,000 running machines does not fill the memory.
 */
#include "thumbnail-private.h"

#define TICK_MS 400
#define INTERVAL (3 * G_TIME_SPAN_SECOND)
#define RETRY (15 * G_TIME_SPAN_SECOND) /* after an error: it rarely goes away at once */
#define MAX_IN_FLIGHT 2
#define MAX_PICTURES 64
#define MAX_BYTES (64u << 20) /* a guest's screen larger than this is not worth a thumbnail */

typedef struct {
    cairo_surface_t *surface;
    guint hash; /* of the encoded picture: an unchanged screen is not decoded again */
    gint64 next;
    gboolean in_flight;
} Picture;

struct _BhThumbnailer {
    GObject parent_instance;
    guint timer;
    guint in_flight;
    int width;
    GQueue held; /* of BhMachine (weak), that have a surface, newest last */
};

G_DEFINE_TYPE(BhThumbnailer, bh_thumbnailer, G_TYPE_OBJECT)

enum { COLLECT, UPDATED, N_SIGNALS };
static guint signals[N_SIGNALS];
static G_DEFINE_QUARK(bh - picture, picture)

static void picture_free(gpointer data)
{
    Picture *picture = data;

    g_clear_pointer(&picture->surface, cairo_surface_destroy);
    g_free(picture);
}

static Picture *picture_of(BhMachine *machine)
{
    Picture *picture = g_object_get_qdata(G_OBJECT(machine), picture_quark());

    if (!picture) {
        picture = g_new0(Picture, 1);
        g_object_set_qdata_full(G_OBJECT(machine), picture_quark(), picture, picture_free);
    }
    return picture;
}

cairo_surface_t *bh_machine_get_picture(BhMachine *machine)
{
    Picture *picture = g_object_get_qdata(G_OBJECT(machine), picture_quark());

    return picture ? picture->surface : NULL;
}

/* --- worker thread --- */

typedef struct {
    BhMachine *machine;
    GBytes *bytes;
    int width;
} Decode;

static void decode_free(gpointer data)
{
    Decode *decode = data;

    g_object_unref(decode->machine);
    g_bytes_unref(decode->bytes);
    g_free(decode);
}

/* The guest chose the size: the loader is told the small one before it decodes a single row. */
static void on_size_prepared(GdkPixbufLoader *loader, int width, int height, gpointer data)
{
    int wanted = GPOINTER_TO_INT(data);

    if (width > wanted && width > 0)
        gdk_pixbuf_loader_set_size(loader, wanted, MAX(1, (int)((gint64)height * wanted / width)));
}

static void decode_thread(GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
    Decode *decode = data;
    g_autoptr(GdkPixbufLoader) loader = gdk_pixbuf_loader_new();
    GError *error = NULL;
    GdkPixbuf *pixbuf;

    g_signal_connect(loader, "size-prepared", G_CALLBACK(on_size_prepared),
                     GINT_TO_POINTER(decode->width));
    if (!gdk_pixbuf_loader_write_bytes(loader, decode->bytes, &error)) {
        gdk_pixbuf_loader_close(loader, NULL);
        g_task_return_error(task, error);
        return;
    }
    if (!gdk_pixbuf_loader_close(loader, &error)) {
        g_task_return_error(task, error);
        return;
    }
    pixbuf = gdk_pixbuf_loader_get_pixbuf(loader);
    if (!pixbuf) {
        g_task_return_new_error(task, G_IO_ERROR, G_IO_ERROR_INVALID_DATA, "no picture");
        return;
    }
    g_task_return_pointer(task, gdk_cairo_surface_create_from_pixbuf(pixbuf, 1, NULL),
                          (GDestroyNotify)cairo_surface_destroy);
}

/* --- main thread --- */

static void machine_gone(gpointer data, GObject *machine)
{
    BhThumbnailer *self = data;

    g_queue_remove(&self->held, machine);
}

static void hold(BhThumbnailer *self, BhMachine *machine)
{
    if (g_queue_remove(&self->held, machine))
        g_object_weak_unref(G_OBJECT(machine), machine_gone, self);
    g_queue_push_tail(&self->held, machine);
    g_object_weak_ref(G_OBJECT(machine), machine_gone, self);
    while (self->held.length > MAX_PICTURES) {
        BhMachine *oldest = g_queue_pop_head(&self->held);
        Picture *picture = picture_of(oldest);
        g_object_weak_unref(G_OBJECT(oldest), machine_gone, self);
        g_clear_pointer(&picture->surface, cairo_surface_destroy);
        picture->hash = 0;
    }
}

static void done(BhThumbnailer *self, BhMachine *machine, gint64 wait)
{
    Picture *picture = picture_of(machine);

    self->in_flight--;
    picture->in_flight = FALSE;
    picture->next = g_get_monotonic_time() + wait;
}

static void on_decoded(GObject *source, GAsyncResult *result, gpointer data)
{
    BhThumbnailer *self = BH_THUMBNAILER(source);
    Decode *decode = g_task_get_task_data(G_TASK(result));
    cairo_surface_t *surface = g_task_propagate_pointer(G_TASK(result), NULL);
    Picture *picture = picture_of(decode->machine);

    done(self, decode->machine, surface ? INTERVAL : RETRY);
    if (!surface)
        return;
    g_clear_pointer(&picture->surface, cairo_surface_destroy);
    picture->surface = surface;
    hold(self, decode->machine);
    g_signal_emit(self, signals[UPDATED], 0, decode->machine);
}

static void on_screenshot(GObject *source, GAsyncResult *result, gpointer data)
{
    g_autoptr(BhThumbnailer) self = data;
    BhMachine *machine = BH_MACHINE(source);
    g_autoptr(GBytes) bytes = bh_machine_screenshot_finish(machine, result, NULL);
    g_autoptr(GTask) task = NULL;
    Decode *decode;
    Picture *picture = picture_of(machine);
    guint hash;

    if (!bytes || g_bytes_get_size(bytes) > MAX_BYTES) {
        done(self, machine, RETRY);
        return;
    }
    hash = g_bytes_hash(bytes);
    if (picture->surface && picture->hash == hash) {
        done(self, machine, INTERVAL);
        return;
    }
    picture->hash = hash;
    decode = g_new0(Decode, 1);
    decode->machine = g_object_ref(machine);
    decode->bytes = g_bytes_ref(bytes);
    decode->width = self->width;
    task = g_task_new(self, NULL, on_decoded, NULL);
    g_task_set_task_data(task, decode, decode_free);
    g_task_run_in_thread(task, decode_thread);
}

static void fetch(BhThumbnailer *self, BhMachine *machine)
{
    Picture *picture = picture_of(machine);

    picture->in_flight = TRUE;
    self->in_flight++;
    bh_machine_screenshot_async(machine, NULL, on_screenshot, g_object_ref(self));
}

static gboolean on_tick(gpointer data)
{
    BhThumbnailer *self = data;
    g_autoptr(GPtrArray) machines = g_ptr_array_new_with_free_func(g_object_unref);
    gint64 now = g_get_monotonic_time();

    g_signal_emit(self, signals[COLLECT], 0, machines);
    /* Those that wait longest come first, or two slow machines would starve the others. */
    while (self->in_flight < MAX_IN_FLIGHT) {
        BhMachine *next = NULL;
        for (guint i = 0; i < machines->len; i++) {
            BhMachine *machine = machines->pdata[i];
            Picture *picture = picture_of(machine);
            if (bh_machine_get_state(machine) != BH_STATE_RUNNING || picture->in_flight)
                continue;
            if (picture->next <= now && (!next || picture->next < picture_of(next)->next))
                next = machine;
        }
        if (!next)
            break;
        fetch(self, next);
    }
    return G_SOURCE_CONTINUE;
}

void bh_thumbnailer_set_active(BhThumbnailer *self, gboolean active)
{
    if (active && !self->timer)
        self->timer = g_timeout_add(TICK_MS, on_tick, self);
    else if (!active)
        g_clear_handle_id(&self->timer, g_source_remove);
}

void bh_thumbnailer_set_width(BhThumbnailer *self, int width)
{
    self->width = MAX(width, 64);
}

static void bh_thumbnailer_dispose(GObject *object)
{
    BhThumbnailer *self = BH_THUMBNAILER(object);
    gpointer machine;

    bh_thumbnailer_set_active(self, FALSE);
    while ((machine = g_queue_pop_head(&self->held)))
        g_object_weak_unref(machine, machine_gone, self);
    G_OBJECT_CLASS(bh_thumbnailer_parent_class)->dispose(object);
}

static void bh_thumbnailer_class_init(BhThumbnailerClass *klass)
{
    G_OBJECT_CLASS(klass)->dispose = bh_thumbnailer_dispose;
    signals[COLLECT] = g_signal_new("collect", BH_TYPE_THUMBNAILER, G_SIGNAL_RUN_LAST, 0, NULL,
                                    NULL, NULL, G_TYPE_NONE, 1, G_TYPE_PTR_ARRAY);
    signals[UPDATED] = g_signal_new("updated", BH_TYPE_THUMBNAILER, G_SIGNAL_RUN_LAST, 0, NULL,
                                    NULL, NULL, G_TYPE_NONE, 1, BH_TYPE_MACHINE);
}

static void bh_thumbnailer_init(BhThumbnailer *self)
{
    self->width = 260;
    g_queue_init(&self->held);
}

BhThumbnailer *bh_thumbnailer_new(void)
{
    return g_object_new(BH_TYPE_THUMBNAILER, NULL);
}

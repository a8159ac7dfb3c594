/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The grid. Tiles exist for the rows on screen and one more on either side; as rows leave, their
 * tiles are given to the machines that enter. The tile that has the focus is never taken away.
 *
 * Widgets must not be added during size allocation, so that only computes the layout and asks for
 * an update, which runs before the next frame is drawn.
 */
#include "machine-grid.h"

#include <glib/gi18n.h>

#include "tile.h"
#include "util.h"

#define MARGIN 18
#define GAP 12
#define MIN_WIDTH 196
#define MAX_WIDTH 300

struct _BhMachineGrid {
    GtkContainer parent_instance;
    BhMachineList *list;
    GHashTable *tiles; /* BhMachine to BhTile, those in use */
    GPtrArray *pool;   /* of BhTile (not owned: children), hidden */
    GtkAdjustment *hadjustment, *vadjustment;
    guint hscroll_policy : 1, vscroll_policy : 1;
    guint tick;
    int columns, tile_width, tile_height, left;
    BhTile *focused; /* has or had the focus; not owned */
};

enum { PROP_0, PROP_HADJUSTMENT, PROP_VADJUSTMENT, PROP_HSCROLL_POLICY, PROP_VSCROLL_POLICY };

G_DEFINE_TYPE_WITH_CODE(BhMachineGrid, bh_machine_grid, GTK_TYPE_CONTAINER,
                        G_IMPLEMENT_INTERFACE(GTK_TYPE_SCROLLABLE, NULL))

static guint tile_width_signal;

/* --- layout --- */

static int n_machines(BhMachineGrid *self)
{
    return self->list ? (int)bh_machine_list_get_n(self->list) : 0;
}

static int row_height(BhMachineGrid *self)
{
    return self->tile_height + GAP;
}

static int scroll_top(BhMachineGrid *self)
{
    return self->vadjustment ? (int)gtk_adjustment_get_value(self->vadjustment) : 0;
}

static int content_height(BhMachineGrid *self)
{
    int rows = (n_machines(self) + self->columns - 1) / self->columns;

    return rows > 0 ? 2 * MARGIN + rows * row_height(self) - GAP : 0;
}

/* Columns as many as fit at the least width; then the tiles share what is left, up to a limit. */
static void compute_layout(BhMachineGrid *self, int width)
{
    int inner = MAX(width - 2 * MARGIN, MIN_WIDTH);
    int columns = MAX(1, (inner + GAP) / (MIN_WIDTH + GAP));
    int tile_width = MIN(MAX_WIDTH, (inner - (columns - 1) * GAP) / columns);
    int used = columns * tile_width + (columns - 1) * GAP;

    self->columns = columns;
    /* Few machines stay at the left, where the next one will appear, not in the middle. */
    self->left = MARGIN + (tile_width == MAX_WIDTH && columns == 1 ? (inner - used) / 2 : 0);
    if (self->tile_width != tile_width) {
        self->tile_width = tile_width;
        self->tile_height = 0;
    }
}

/* All tiles are of one height: that of any tile at the present width. */
static void measure(BhMachineGrid *self)
{
    GHashTableIter iter;
    gpointer tile;
    int natural;

    if (self->tile_height > 0)
        return;
    g_hash_table_iter_init(&iter, self->tiles);
    if (!g_hash_table_iter_next(&iter, NULL, &tile)) {
        self->tile_height = 0;
        return;
    }
    gtk_widget_get_preferred_height_for_width(tile, self->tile_width, NULL, &natural);
    self->tile_height = natural;
}

static void tile_rectangle(BhMachineGrid *self, int index, GtkAllocation *rectangle)
{
    int column = index % self->columns, row = index / self->columns;

    rectangle->x = self->left + column * (self->tile_width + GAP);
    rectangle->y = MARGIN + row * row_height(self);
    rectangle->width = self->tile_width;
    rectangle->height = self->tile_height;
}

static void visible_range(BhMachineGrid *self, int *first, int *last)
{
    int height = gtk_widget_get_allocated_height(GTK_WIDGET(self));
    int top = scroll_top(self) - MARGIN;
    int n = n_machines(self);

    if (self->tile_height <= 0) { /* not measured yet: one tile is enough for that */
        *first = 0;
        *last = MIN(0, n - 1);
        return;
    }
    *first = MAX(0, top / row_height(self)) * self->columns;
    *last = MIN(n - 1, ((top + height) / row_height(self) + 1) * self->columns - 1);
}

/* --- tiles --- */

static BhTile *take_tile(BhMachineGrid *self)
{
    BhTile *tile;

    if (self->pool->len > 0)
        return g_ptr_array_remove_index_fast(self->pool, self->pool->len - 1);
    tile = BH_TILE(bh_tile_new());
    gtk_container_add(GTK_CONTAINER(self), GTK_WIDGET(tile));
    return tile;
}

static void release_unneeded(BhMachineGrid *self, int first, int last)
{
    GHashTableIter iter;
    gpointer machine, tile;

    g_hash_table_iter_init(&iter, self->tiles);
    while (g_hash_table_iter_next(&iter, &machine, &tile)) {
        int index = bh_machine_list_index(self->list, machine);
        if (index >= first && index <= last)
            continue;
        if (index >= 0 && gtk_container_get_focus_child(GTK_CONTAINER(self)) == tile)
            continue;
        g_hash_table_iter_remove(&iter);
        g_ptr_array_add(self->pool, tile);
    }
}

static void update(BhMachineGrid *self)
{
    int first, last;

    if (!self->list || self->columns == 0)
        return;
    visible_range(self, &first, &last);
    release_unneeded(self, first, last);
    for (int i = first; i <= last; i++) {
        BhMachine *machine = bh_machine_list_get(self->list, (guint)i);
        BhTile *tile;
        if (g_hash_table_contains(self->tiles, machine))
            continue;
        tile = take_tile(self);
        bh_tile_set_machine(tile, machine);
        gtk_widget_show(GTK_WIDGET(tile));
        g_hash_table_insert(self->tiles, machine, tile);
    }
    for (guint i = 0; i < self->pool->len; i++) {
        bh_tile_set_machine(self->pool->pdata[i], NULL);
        gtk_widget_hide(self->pool->pdata[i]);
    }
    gtk_widget_queue_allocate(GTK_WIDGET(self));
}

static gboolean on_tick(gpointer data)
{
    BhMachineGrid *self = data;

    self->tick = 0;
    update(self);
    return G_SOURCE_REMOVE;
}

/* Ahead of layout and drawing (GTK_PRIORITY_RESIZE). */
static void schedule(BhMachineGrid *self)
{
    if (!self->tick)
        self->tick = g_idle_add_full(G_PRIORITY_HIGH_IDLE, on_tick, self, NULL);
}

static void configure_adjustment(BhMachineGrid *self)
{
    double height = gtk_widget_get_allocated_height(GTK_WIDGET(self));
    double upper = MAX(height, content_height(self));
    double value;

    if (!self->vadjustment)
        return;
    value = CLAMP(gtk_adjustment_get_value(self->vadjustment), 0, upper - height);
    gtk_adjustment_configure(self->vadjustment, value, 0, upper, row_height(self) / 2.0,
                             MAX(height - row_height(self) / 2.0, 1), height);
}

static void allocate_tiles(BhMachineGrid *self)
{
    GHashTableIter iter;
    gpointer machine, tile;

    g_hash_table_iter_init(&iter, self->tiles);
    while (g_hash_table_iter_next(&iter, &machine, &tile)) {
        int index = self->list ? bh_machine_list_index(self->list, machine) : -1;
        GtkAllocation rectangle;
        int ignored;
        if (index < 0)
            continue;
        tile_rectangle(self, index, &rectangle);
        rectangle.y -= scroll_top(self);
        /* GTK wants to be asked before it is told. */
        gtk_widget_get_preferred_width(tile, &ignored, NULL);
        gtk_widget_size_allocate(tile, &rectangle);
    }
}

static void bh_machine_grid_size_allocate(GtkWidget *widget, GtkAllocation *allocation)
{
    BhMachineGrid *self = BH_MACHINE_GRID(widget);
    int old_width = self->tile_width;

    gtk_widget_set_allocation(widget, allocation);
    if (gtk_widget_get_realized(widget))
        gdk_window_move_resize(gtk_widget_get_window(widget), allocation->x, allocation->y,
                               allocation->width, allocation->height);
    compute_layout(self, allocation->width);
    measure(self);
    if (old_width != self->tile_width)
        g_signal_emit(self, tile_width_signal, 0, self->tile_width);
    configure_adjustment(self);
    allocate_tiles(self);
    schedule(self);
}

static void bh_machine_grid_get_preferred_width(GtkWidget *widget, int *minimum, int *natural)
{
    *minimum = MIN_WIDTH + 2 * MARGIN;
    *natural = 3 * MIN_WIDTH;
}

static void bh_machine_grid_get_preferred_height(GtkWidget *widget, int *minimum, int *natural)
{
    *minimum = 120;
    *natural = 400;
}

static void bh_machine_grid_realize(GtkWidget *widget)
{
    GtkAllocation allocation;
    GdkWindowAttr attributes = {.window_type = GDK_WINDOW_CHILD, .wclass = GDK_INPUT_OUTPUT};

    gtk_widget_get_allocation(widget, &allocation);
    attributes.x = allocation.x;
    attributes.y = allocation.y;
    attributes.width = allocation.width;
    attributes.height = allocation.height;
    attributes.visual = gtk_widget_get_visual(widget);
    attributes.event_mask = gtk_widget_get_events(widget) | GDK_SCROLL_MASK |
                            GDK_SMOOTH_SCROLL_MASK | GDK_TOUCH_MASK | GDK_BUTTON_PRESS_MASK;
    gtk_widget_set_realized(widget, TRUE);
    gtk_widget_set_window(widget, gdk_window_new(gtk_widget_get_parent_window(widget), &attributes,
                                                 GDK_WA_X | GDK_WA_Y | GDK_WA_VISUAL));
    gtk_widget_register_window(widget, gtk_widget_get_window(widget));
}

/* --- container --- */

static void bh_machine_grid_add(GtkContainer *container, GtkWidget *child)
{
    gtk_widget_set_parent(child, GTK_WIDGET(container));
}

static gboolean is_tile(gpointer machine, gpointer tile, gpointer wanted)
{
    return tile == wanted;
}

static void bh_machine_grid_remove(GtkContainer *container, GtkWidget *child)
{
    BhMachineGrid *self = BH_MACHINE_GRID(container);

    /* Not by its machine: a tile that is being destroyed has let go of it already. */
    g_hash_table_foreach_remove(self->tiles, is_tile, child);
    g_ptr_array_remove(self->pool, child);
    if (self->focused == BH_TILE(child))
        self->focused = NULL;
    gtk_widget_unparent(child);
}

static int compare_tiles(gconstpointer a, gconstpointer b, gpointer data)
{
    BhMachineGrid *self = data;
    BhTile *x = *(BhTile *const *)a, *y = *(BhTile *const *)b;

    return bh_machine_list_index(self->list, bh_tile_get_machine(x)) -
           bh_machine_list_index(self->list, bh_tile_get_machine(y));
}

/* In the order of the list, which is what a screen reader walks. */
static GPtrArray *tiles_in_order(BhMachineGrid *self)
{
    GPtrArray *array = g_ptr_array_new();
    GHashTableIter iter;
    gpointer tile;

    g_hash_table_iter_init(&iter, self->tiles);
    while (g_hash_table_iter_next(&iter, NULL, &tile))
        g_ptr_array_add(array, tile);
    if (self->list)
        g_ptr_array_sort_with_data(array, compare_tiles, self);
    return array;
}

static void bh_machine_grid_forall(GtkContainer *container, gboolean include_internals,
                                   GtkCallback callback, gpointer data)
{
    BhMachineGrid *self = BH_MACHINE_GRID(container);
    g_autoptr(GPtrArray) array = NULL;

    if (!self->tiles) /* already disposed */
        return;
    array = tiles_in_order(self);
    for (guint i = 0; i < self->pool->len; i++)
        g_ptr_array_add(array, self->pool->pdata[i]);
    for (guint i = 0; i < array->len; i++)
        callback(array->pdata[i], data);
}

static GType bh_machine_grid_child_type(GtkContainer *container)
{
    return BH_TYPE_TILE;
}

/* --- focus --- */

static void scroll_to(BhMachineGrid *self, int index)
{
    GtkAllocation rectangle;

    if (!self->vadjustment || self->tile_height <= 0)
        return;
    tile_rectangle(self, index, &rectangle);
    gtk_adjustment_clamp_page(self->vadjustment, rectangle.y - MARGIN,
                              rectangle.y + rectangle.height + MARGIN);
}

void bh_machine_grid_focus(BhMachineGrid *self, int index)
{
    BhTile *tile;
    int n = n_machines(self);

    if (n == 0)
        return;
    index = CLAMP(index, 0, n - 1);
    scroll_to(self, index);
    update(self);
    tile = g_hash_table_lookup(self->tiles, bh_machine_list_get(self->list, (guint)index));
    if (tile)
        bh_tile_focus(tile);
}

static void bh_machine_grid_set_focus_child(GtkContainer *container, GtkWidget *child)
{
    BhMachineGrid *self = BH_MACHINE_GRID(container);

    if (child && self->list) {
        int index = bh_machine_list_index(self->list, bh_tile_get_machine(BH_TILE(child)));
        self->focused = BH_TILE(child);
        if (index >= 0)
            scroll_to(self, index);
    }
    GTK_CONTAINER_CLASS(bh_machine_grid_parent_class)->set_focus_child(container, child);
}

static int current_index(BhMachineGrid *self)
{
    GtkWidget *child = gtk_container_get_focus_child(GTK_CONTAINER(self));

    if (!child || !self->list)
        return -1;
    return bh_machine_list_index(self->list, bh_tile_get_machine(BH_TILE(child)));
}

static int focus_step(BhMachineGrid *self, GtkDirectionType direction)
{
    gboolean rtl = gtk_widget_get_direction(GTK_WIDGET(self)) == GTK_TEXT_DIR_RTL;

    switch (direction) {
    case GTK_DIR_UP:
        return -self->columns;
    case GTK_DIR_DOWN:
        return self->columns;
    case GTK_DIR_LEFT:
        return rtl ? 1 : -1;
    case GTK_DIR_RIGHT:
        return rtl ? -1 : 1;
    default:
        return 0;
    }
}

/* The grid is one stop for Tab, which walks through the controls of one tile and then leaves;
 * arrows go from tile to tile. */
static gboolean bh_machine_grid_focus_move(GtkWidget *widget, GtkDirectionType direction)
{
    BhMachineGrid *self = BH_MACHINE_GRID(widget);
    GtkWidget *child = gtk_container_get_focus_child(GTK_CONTAINER(self));
    int index = current_index(self), step = focus_step(self, direction);
    int n = n_machines(self), target = index + step;

    if (n == 0)
        return FALSE;
    if (index < 0) {
        BhTile *last = self->focused;
        int start = last ? bh_machine_list_index(self->list, bh_tile_get_machine(last)) : -1;
        bh_machine_grid_focus(self, MAX(start, 0));
        return TRUE;
    }
    if (step == 0)
        return gtk_widget_child_focus(child, direction);
    if (target < 0 || (target >= n && (direction != GTK_DIR_DOWN ||
                                       index / self->columns == (n - 1) / self->columns)))
        return direction != GTK_DIR_UP && direction != GTK_DIR_DOWN;
    bh_machine_grid_focus(self, target);
    return TRUE;
}

static gboolean bh_machine_grid_key_press(GtkWidget *widget, GdkEventKey *event)
{
    BhMachineGrid *self = BH_MACHINE_GRID(widget);
    int index = current_index(self);
    int height = gtk_widget_get_allocated_height(widget);
    int page = self->columns * MAX(1, self->tile_height > 0 ? height / row_height(self) : 1);

    if (GTK_WIDGET_CLASS(bh_machine_grid_parent_class)->key_press_event(widget, event))
        return GDK_EVENT_STOP;
    if (index < 0 || (event->state & gtk_accelerator_get_default_mod_mask()))
        return GDK_EVENT_PROPAGATE;
    switch (event->keyval) {
    case GDK_KEY_Home:
        index = 0;
        break;
    case GDK_KEY_End:
        index = n_machines(self) - 1;
        break;
    case GDK_KEY_Page_Up:
        index -= page;
        break;
    case GDK_KEY_Page_Down:
        index += page;
        break;
    default:
        return GDK_EVENT_PROPAGATE;
    }
    bh_machine_grid_focus(self, index);
    return GDK_EVENT_STOP;
}

/* --- scrolling --- */

static void on_scrolled(GtkAdjustment *adjustment, gpointer data)
{
    update(data);
}

static void set_adjustment(BhMachineGrid *self, GtkAdjustment **where, GtkAdjustment *adjustment)
{
    if (*where)
        g_signal_handlers_disconnect_by_data(*where, self);
    g_clear_object(where);
    if (!adjustment)
        adjustment = gtk_adjustment_new(0, 0, 0, 0, 0, 0);
    *where = g_object_ref_sink(adjustment);
    if (where == &self->vadjustment)
        g_signal_connect(adjustment, "value-changed", G_CALLBACK(on_scrolled), self);
}

static void bh_machine_grid_set_property(GObject *object, guint id, const GValue *value,
                                         GParamSpec *pspec)
{
    BhMachineGrid *self = BH_MACHINE_GRID(object);

    switch (id) {
    case PROP_HADJUSTMENT:
        set_adjustment(self, &self->hadjustment, g_value_get_object(value));
        break;
    case PROP_VADJUSTMENT:
        set_adjustment(self, &self->vadjustment, g_value_get_object(value));
        break;
    case PROP_HSCROLL_POLICY:
        self->hscroll_policy = g_value_get_enum(value);
        break;
    case PROP_VSCROLL_POLICY:
        self->vscroll_policy = g_value_get_enum(value);
        break;
    default:
        G_OBJECT_WARN_INVALID_PROPERTY_ID(object, id, pspec);
    }
}

static void bh_machine_grid_get_property(GObject *object, guint id, GValue *value,
                                         GParamSpec *pspec)
{
    BhMachineGrid *self = BH_MACHINE_GRID(object);

    switch (id) {
    case PROP_HADJUSTMENT:
        g_value_set_object(value, self->hadjustment);
        break;
    case PROP_VADJUSTMENT:
        g_value_set_object(value, self->vadjustment);
        break;
    case PROP_HSCROLL_POLICY:
        g_value_set_enum(value, self->hscroll_policy);
        break;
    case PROP_VSCROLL_POLICY:
        g_value_set_enum(value, self->vscroll_policy);
        break;
    default:
        G_OBJECT_WARN_INVALID_PROPERTY_ID(object, id, pspec);
    }
}

/* --- list --- */

static void on_list_changed(BhMachineList *list, gpointer data)
{
    BhMachineGrid *self = data;
    GtkWidget *child = gtk_container_get_focus_child(GTK_CONTAINER(self));
    gboolean lost = child && current_index(self) < 0;
    int near = self->tile_height > 0 ? scroll_top(self) / row_height(self) * self->columns : 0;

    configure_adjustment(self);
    update(self);
    /* The machine with the focus is gone: its place on screen keeps it, not the window's corner. */
    if (lost)
        bh_machine_grid_focus(self, near);
}

void bh_machine_grid_set_list(BhMachineGrid *self, BhMachineList *list)
{
    if (self->list)
        g_signal_handlers_disconnect_by_data(self->list, self);
    g_set_object(&self->list, list);
    if (list)
        g_signal_connect(list, "changed", G_CALLBACK(on_list_changed), self);
    schedule(self);
}

void bh_machine_grid_collect(BhMachineGrid *self, GPtrArray *machines)
{
    g_autoptr(GPtrArray) tiles = tiles_in_order(self);
    int height = gtk_widget_get_allocated_height(GTK_WIDGET(self));

    for (guint i = 0; i < tiles->len; i++) {
        GtkAllocation rectangle;
        gtk_widget_get_allocation(tiles->pdata[i], &rectangle);
        if (rectangle.y + rectangle.height > 0 && rectangle.y < height)
            g_ptr_array_add(machines, g_object_ref(bh_tile_get_machine(tiles->pdata[i])));
    }
}

void bh_machine_grid_update_picture(BhMachineGrid *self, BhMachine *machine)
{
    BhTile *tile = g_hash_table_lookup(self->tiles, machine);

    if (tile)
        bh_tile_update_picture(tile);
}

/* --- object --- */

static void bh_machine_grid_style_updated(GtkWidget *widget)
{
    BH_MACHINE_GRID(widget)->tile_height = 0; /* the font may have changed */
    GTK_WIDGET_CLASS(bh_machine_grid_parent_class)->style_updated(widget);
}

static void bh_machine_grid_dispose(GObject *object)
{
    BhMachineGrid *self = BH_MACHINE_GRID(object);

    g_clear_handle_id(&self->tick, g_source_remove);
    bh_machine_grid_set_list(self, NULL);
    g_clear_handle_id(&self->tick, g_source_remove);
    if (self->vadjustment)
        g_signal_handlers_disconnect_by_data(self->vadjustment, self);
    G_OBJECT_CLASS(bh_machine_grid_parent_class)->dispose(object); /* removes the children */
    g_clear_object(&self->hadjustment);
    g_clear_object(&self->vadjustment);
}

static void bh_machine_grid_finalize(GObject *object)
{
    BhMachineGrid *self = BH_MACHINE_GRID(object);

    g_clear_pointer(&self->tiles, g_hash_table_unref);
    g_clear_pointer(&self->pool, g_ptr_array_unref);
    G_OBJECT_CLASS(bh_machine_grid_parent_class)->finalize(object);
}

static void bh_machine_grid_class_init(BhMachineGridClass *klass)
{
    GObjectClass *object_class = G_OBJECT_CLASS(klass);
    GtkWidgetClass *widget_class = GTK_WIDGET_CLASS(klass);
    GtkContainerClass *container_class = GTK_CONTAINER_CLASS(klass);

    object_class->set_property = bh_machine_grid_set_property;
    object_class->get_property = bh_machine_grid_get_property;
    object_class->dispose = bh_machine_grid_dispose;
    object_class->finalize = bh_machine_grid_finalize;
    widget_class->size_allocate = bh_machine_grid_size_allocate;
    widget_class->get_preferred_width = bh_machine_grid_get_preferred_width;
    widget_class->get_preferred_height = bh_machine_grid_get_preferred_height;
    widget_class->realize = bh_machine_grid_realize;
    widget_class->focus = bh_machine_grid_focus_move;
    widget_class->key_press_event = bh_machine_grid_key_press;
    widget_class->style_updated = bh_machine_grid_style_updated;
    container_class->add = bh_machine_grid_add;
    container_class->remove = bh_machine_grid_remove;
    container_class->forall = bh_machine_grid_forall;
    container_class->child_type = bh_machine_grid_child_type;
    container_class->set_focus_child = bh_machine_grid_set_focus_child;
    g_object_class_override_property(object_class, PROP_HADJUSTMENT, "hadjustment");
    g_object_class_override_property(object_class, PROP_VADJUSTMENT, "vadjustment");
    g_object_class_override_property(object_class, PROP_HSCROLL_POLICY, "hscroll-policy");
    g_object_class_override_property(object_class, PROP_VSCROLL_POLICY, "vscroll-policy");
    tile_width_signal = g_signal_new("tile-width", BH_TYPE_MACHINE_GRID, G_SIGNAL_RUN_LAST, 0, NULL,
                                     NULL, NULL, G_TYPE_NONE, 1, G_TYPE_INT);
    gtk_widget_class_set_css_name(widget_class, "machinegrid");
    gtk_widget_class_set_accessible_role(widget_class, ATK_ROLE_LIST);
}

static void bh_machine_grid_init(BhMachineGrid *self)
{
    self->tiles = g_hash_table_new(NULL, NULL);
    self->pool = g_ptr_array_new();
    self->columns = 1;
    gtk_widget_set_has_window(GTK_WIDGET(self), TRUE);
    bh_set_accessible_name(GTK_WIDGET(self), _("Machines"));
}

GtkWidget *bh_machine_grid_new(void)
{
    return g_object_new(BH_TYPE_MACHINE_GRID, NULL);
}

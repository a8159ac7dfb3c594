/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sizes in a spin button: how they are written and what may be typed. */
#include "size-spin.h"

#include <math.h>

#include "util.h"

#define BARE_GIB_LIMIT 256

static double unit_factor(const char *unit, double value)
{
    switch (g_ascii_toupper(*unit)) {
    case 0:
        return value <= BARE_GIB_LIMIT ? 1024 : 1;
    case 'K':
        return 1 / 1024.0;
    case 'M':
        return 1;
    case 'G':
        return 1024;
    case 'T':
        return 1024 * 1024;
    default:
        return 0;
    }
}

gboolean bh_size_parse(const char *text, double *mib)
{
    g_autofree char *copy = g_strstrip(g_strdup(text));
    char *end = NULL;
    double value, factor;

    /* Both decimal signs are understood, whatever the locale. */
    g_strdelimit(copy, ",", '.');
    value = g_ascii_strtod(copy, &end);
    if (end == copy || !isfinite(value) || value < 0)
        return FALSE;
    factor = unit_factor(g_strchug(end), value);
    if (factor <= 0)
        return FALSE;
    *mib = value * factor;
    return TRUE;
}

static int on_input(GtkSpinButton *spin, double *value, gpointer data)
{
    return bh_size_parse(gtk_entry_get_text(GTK_ENTRY(spin)), value) ? TRUE : GTK_INPUT_ERROR;
}

static gboolean on_output(GtkSpinButton *spin, gpointer data)
{
    g_autofree char *text = bh_format_mib((guint)lround(gtk_spin_button_get_value(spin)));

    if (!g_str_equal(text, gtk_entry_get_text(GTK_ENTRY(spin))))
        gtk_entry_set_text(GTK_ENTRY(spin), text);
    return TRUE;
}

GtkWidget *bh_size_spin_new(double minimum, double maximum, double step)
{
    GtkWidget *spin = gtk_spin_button_new_with_range(minimum, MAX(maximum, minimum), step);

    gtk_spin_button_set_digits(GTK_SPIN_BUTTON(spin), 0);
    gtk_spin_button_set_numeric(GTK_SPIN_BUTTON(spin), FALSE);
    gtk_entry_set_width_chars(GTK_ENTRY(spin), 10);
    g_signal_connect(spin, "input", G_CALLBACK(on_input), NULL);
    g_signal_connect(spin, "output", G_CALLBACK(on_output), NULL);
    return spin;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Errors with a hint and a detail: see bulkhead/error.h. */
#include <bulkhead/error.h>

typedef struct {
    char *hint;
    char *detail;
} BhErrorPrivate;

static void bh_error_private_init(BhErrorPrivate *priv)
{
    *priv = (BhErrorPrivate){NULL, NULL};
}

static void bh_error_private_copy(const BhErrorPrivate *from, BhErrorPrivate *to)
{
    to->hint = g_strdup(from->hint);
    to->detail = g_strdup(from->detail);
}

static void bh_error_private_clear(BhErrorPrivate *priv)
{
    g_free(priv->hint);
    g_free(priv->detail);
}

G_DEFINE_EXTENDED_ERROR(BhError, bh_error)

GError *bh_error_new(BhErrorCode code, const char *hint, const char *detail, const char *format,
                     ...)
{
    va_list args;
    va_start(args, format);
    GError *error = g_error_new_valist(BH_ERROR, code, format, args);
    va_end(args);

    BhErrorPrivate *priv = bh_error_get_private(error);
    priv->hint = g_strdup(hint);
    priv->detail = g_strdup(detail);
    return error;
}

const char *bh_error_get_hint(const GError *error)
{
    return error->domain == BH_ERROR ? bh_error_get_private(error)->hint : NULL;
}

const char *bh_error_get_detail(const GError *error)
{
    return error->domain == BH_ERROR ? bh_error_get_private(error)->detail : NULL;
}

char *bh_error_to_text(const GError *error)
{
    const char *hint = bh_error_get_hint(error);
    return hint ? g_strdup_printf("%s %s", error->message, hint) : g_strdup(error->message);
}

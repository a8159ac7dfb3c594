/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Errors that can be shown to people.
 *
 * A Bulkhead error has three parts: the message (what happened and why), the hint (what to do
 * about it) and the detail (what the layer below said, for a report). Cancelled operations always
 * end in G_IO_ERROR_CANCELLED instead, whatever the driver.
 */
#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

#define BH_ERROR (bh_error_quark())

typedef enum {
    BH_ERROR_FAILED,        /* anything without a code of its own */
    BH_ERROR_NOT_SUPPORTED, /* this host or machine cannot do it at all */
    BH_ERROR_NOT_FOUND,     /* no such machine, device or file (any more) */
    BH_ERROR_EXISTS,        /* the name is taken */
    BH_ERROR_INVALID,       /* the input is wrong: value out of range, corrupt image, ... */
    BH_ERROR_NO_SPACE,      /* disk full, too little memory */
    BH_ERROR_PERMISSION,    /* a file or device node that may not be opened */
    BH_ERROR_BUSY,          /* in use, or the machine's state does not allow it now */
    BH_ERROR_DISCONNECTED,  /* the host does not answer */
    BH_ERROR_NEEDS_CONFIRM, /* dangerous: ask the user, then call again with consent */
} BhErrorCode;

GQuark bh_error_quark(void);

/* New error. hint and detail may be NULL. All strings are copied. */
GError *bh_error_new(BhErrorCode code, const char *hint, const char *detail, const char *format,
                     ...) G_GNUC_PRINTF(4, 5);

/* The hint or detail of any GError; NULL when it has none. Owned by the error. */
const char *bh_error_get_hint(const GError *error);
const char *bh_error_get_detail(const GError *error);

/* Message and hint in one text, for a terminal or a bar. Caller frees. */
char *bh_error_to_text(const GError *error);

G_END_DECLS

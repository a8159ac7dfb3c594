/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The fake driver's URI: fake:///?key=value&... with percent-encoded values.
 *
 * machines, running, paused, saved, crashed, deleted (counts); delay (ms per operation); cpus,
 * memory (MiB) of the host; accel=kvm|tcg, note; features=no-X,X,... on top of the usual ones;
 * stubborn=1; names=A,B,...; spice=PATH; control=PATH; fail=WHAT:CODE:MESSAGE.
 */
#include "fake-private.h"

#include <glib/gi18n-lib.h>

void bh_fake_params_free(BhFakeParams *self)
{
    if (self == NULL)
        return;
    g_free(self->note);
    g_free(self->spice);
    g_free(self->control);
    g_free(self->fail);
    g_strfreev(self->names);
    g_free(self);
}

static BhFakeParams *params_default(void)
{
    BhFakeParams *self = g_new0(BhFakeParams, 1);

    self->machines = 3;
    self->delay_ms = 300;
    self->cpus = 8;
    self->memory = 16 * G_GUINT64_CONSTANT(1073741824);
    self->features = BH_FEATURE_CREATE | BH_FEATURE_SAVE | BH_FEATURE_PAUSE | BH_FEATURE_RESET |
                     BH_FEATURE_SCREENSHOT | BH_FEATURE_SEND_KEYS | BH_FEATURE_USB_PASSTHROUGH |
                     BH_FEATURE_USB_REDIRECTION | BH_FEATURE_EFI | BH_FEATURE_SECURE_BOOT |
                     BH_FEATURE_TPM | BH_FEATURE_LOCAL | BH_FEATURE_UNDELETE;
    self->kvm = TRUE;
    self->names = g_new0(char *, 1);
    return self;
}

static GError *bad_value(const char *key, const char *value)
{
    return bh_error_new(BH_ERROR_INVALID, NULL, NULL,
                        _("The fake host does not understand “%s=%s”."), key, value);
}

static gboolean parse_features(const char *value, BhHostFeatures *features)
{
    g_auto(GStrv) words = g_strsplit(value, ",", -1);

    for (guint i = 0; words[i] != NULL; i++) {
        gboolean off = g_str_has_prefix(words[i], "no-");
        BhHostFeatures bit = bh_host_feature_from_name(words[i] + (off ? 3 : 0));

        if (bit == 0)
            return FALSE;
        *features = off ? *features & ~bit : *features | bit;
    }
    return TRUE;
}

static gboolean parse_number(BhFakeParams *self, const char *key, const char *value,
                             gboolean *known)
{
    const struct {
        const char *key;
        guint *target;
    } numbers[] = {
        {"machines", &self->machines}, {"running", &self->running}, {"paused", &self->paused},
        {"saved", &self->saved},       {"crashed", &self->crashed}, {"deleted", &self->deleted},
        {"delay", &self->delay_ms},    {"cpus", &self->cpus},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(numbers); i++) {
        guint64 number;

        if (!g_str_equal(key, numbers[i].key))
            continue;
        *known = TRUE;
        if (!g_ascii_string_to_unsigned(value, 10, 0, 1000000, &number, NULL))
            return FALSE;
        *numbers[i].target = (guint)number;
        return TRUE;
    }
    *known = FALSE;
    return TRUE;
}

static void replace(char **target, const char *value)
{
    g_free(*target);
    *target = g_strdup(value);
}

static gboolean parse_one(BhFakeParams *self, const char *key, const char *value)
{
    gboolean known;
    guint64 number;

    if (!parse_number(self, key, value, &known))
        return FALSE;
    if (known)
        return TRUE;
    if (g_str_equal(key, "memory")) {
        if (!g_ascii_string_to_unsigned(value, 10, 1, G_MAXUINT32, &number, NULL))
            return FALSE;
        self->memory = number * 1048576;
    } else if (g_str_equal(key, "accel")) {
        self->kvm = g_str_equal(value, "kvm");
        return self->kvm || g_str_equal(value, "tcg");
    } else if (g_str_equal(key, "stubborn")) {
        self->stubborn = !g_str_equal(value, "0");
    } else if (g_str_equal(key, "features")) {
        return parse_features(value, &self->features);
    } else if (g_str_equal(key, "names")) {
        g_strfreev(self->names);
        self->names = g_strsplit(value, ",", -1);
    } else if (g_str_equal(key, "note")) {
        replace(&self->note, value);
    } else if (g_str_equal(key, "spice")) {
        replace(&self->spice, value);
    } else if (g_str_equal(key, "control")) {
        replace(&self->control, value);
    } else if (g_str_equal(key, "fail")) {
        replace(&self->fail, value);
    } else {
        return FALSE;
    }
    return TRUE;
}

BhFakeParams *bh_fake_params_parse(const char *uri, GError **error)
{
    g_autoptr(BhFakeParams) self = params_default();
    g_autoptr(GUri) parsed = g_uri_parse(uri, G_URI_FLAGS_ENCODED_QUERY, error);
    GUriParamsIter iter;
    char *key, *value;
    GError *local = NULL;

    if (parsed == NULL)
        return NULL;
    if (g_uri_get_query(parsed) == NULL)
        return g_steal_pointer(&self);
    g_uri_params_iter_init(&iter, g_uri_get_query(parsed), -1, "&", G_URI_PARAMS_NONE);
    while (g_uri_params_iter_next(&iter, &key, &value, &local)) {
        if (!parse_one(self, key, value))
            local = bad_value(key, value);
        g_free(key);
        g_free(value);
        if (local != NULL)
            break;
    }
    if (local != NULL) {
        g_propagate_error(error, local);
        return NULL;
    }
    if (!self->kvm && self->note == NULL)
        self->note = g_strdup(_("The fake host pretends to have no KVM."));
    return g_steal_pointer(&self);
}

gboolean bh_fake_code_from_text(const char *text, BhErrorCode *code)
{
    static const char *const names[] = {
        [BH_ERROR_FAILED] = "failed",
        [BH_ERROR_NOT_SUPPORTED] = "not-supported",
        [BH_ERROR_NOT_FOUND] = "not-found",
        [BH_ERROR_EXISTS] = "exists",
        [BH_ERROR_INVALID] = "invalid",
        [BH_ERROR_NO_SPACE] = "no-space",
        [BH_ERROR_PERMISSION] = "permission",
        [BH_ERROR_BUSY] = "busy",
        [BH_ERROR_DISCONNECTED] = "disconnected",
        [BH_ERROR_NEEDS_CONFIRM] = "needs-confirm",
    };
    guint64 number;

    for (gsize i = 0; i < G_N_ELEMENTS(names); i++) {
        if (g_str_equal(text, names[i])) {
            *code = (BhErrorCode)i;
            return TRUE;
        }
    }
    if (!g_ascii_string_to_unsigned(text, 10, 0, G_N_ELEMENTS(names) - 1, &number, NULL))
        return FALSE;
    *code = (BhErrorCode)number;
    return TRUE;
}

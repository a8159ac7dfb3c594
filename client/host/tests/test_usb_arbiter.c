/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Moving devices in and out of machines, and bringing them back. Under umockdev-wrapper. */
#include "../usb-arbiter-private.h"
#include "usb_bed.h"
#include "usb_redirector.h"

#include <bulkhead/fake.h>
#include <string.h>
#include <unistd.h>

#define STICK "0951:1666:A1"

typedef struct {
    Bed bed;
    BhHost *host;
    BhMachine *a, *b;
    BhUsbMonitor *monitor;
    BhUsbRules *rules;
    BhUsbArbiter *arbiter;
    char *path; /* of the stick */
    char *rules_folder;
    GString *asked; /* "name:id " for each "ask" */
    guint failed;
} Desk;

static void on_ask(BhUsbArbiter *arbiter, BhMachine *machine, BhUsbDevice *device, Desk *desk)
{
    g_string_append_printf(desk->asked, "%s:%s ", bh_machine_get_name(machine),
                           bh_usb_device_get_id(device));
}

static void on_failed(BhUsbArbiter *arbiter, BhMachine *machine, BhUsbDevice *device, GError *error,
                      Desk *desk)
{
    g_assert_nonnull(error);
    desk->failed++;
}

/* data: the host's URI, or NULL for two running machines and pass-through. */
static void setup(Desk *desk, gconstpointer data)
{
    GAsyncResult *result = NULL;
    GError *error = NULL;
    bed_setup(&desk->bed, NULL);
    desk->host = bh_host_new(data ? data : "fake:///?machines=2&running=2&delay=40", &error);
    g_assert_no_error(error);
    bh_host_open_async(desk->host, NULL, await_callback, &result);
    g_assert_true(bh_host_open_finish(desk->host, await_result(&result), &error));
    g_object_unref(result);
    GListModel *machines = bh_host_get_machines(desk->host);
    desk->a = g_list_model_get_item(machines, 0);
    desk->b = g_list_model_get_item(machines, 1);
    bh_machine_set_display_kind(desk->a, BH_DISPLAY_SPICE);
    bh_machine_set_display_kind(desk->b, BH_DISPLAY_SPICE);
    desk->rules_folder = g_dir_make_tmp("bh-rules-XXXXXX", NULL);
    g_autofree char *path = g_build_filename(desk->rules_folder, "usb-rules", NULL);
    desk->monitor = bed_monitor(&desk->bed);
    desk->rules = bh_usb_rules_new(path);
    desk->arbiter = bh_usb_arbiter_new(desk->host, desk->monitor, desk->rules);
    *bh_usb_arbiter_limits(desk->arbiter) = (BhUsbLimits){
        .attach = 2000, .redirect = 500, .detach = 2000, .stale = 1000, .retry = 50, .settle = 150};
    desk->asked = g_string_new(NULL);
    g_signal_connect(desk->arbiter, "ask", G_CALLBACK(on_ask), desk);
    g_signal_connect(desk->arbiter, "failed", G_CALLBACK(on_failed), desk);
}

static void teardown(Desk *desk, gconstpointer data)
{
    g_free(desk->path);
    g_string_free(desk->asked, TRUE);
    AWAIT(g_queue_is_empty(&desk->arbiter->moves)); /* every move ends */
    await_ms(200);                                  /* and so do judgements under way */
    g_assert_finalize_object(desk->arbiter);
    g_object_unref(desk->rules);
    g_assert_finalize_object(desk->monitor);
    bh_host_close(desk->host);
    g_object_unref(desk->a);
    g_object_unref(desk->b);
    g_object_unref(desk->host);
    bed_delete_tree(desk->rules_folder);
    g_free(desk->rules_folder);
    bed_teardown(&desk->bed, NULL);
}

static BhUsbDevice *stick(Desk *desk)
{
    return bed_find(desk->monitor, STICK);
}

static void plug_at(Desk *desk, const char *port, guint number)
{
    g_free(desk->path);
    desk->path = bed_plug(&desk->bed, port, number, "0951:1666", "Stick", "A1");
    AWAIT(stick(desk) != NULL);
}

static void plug(Desk *desk)
{
    plug_at(desk, "1-3", 3);
}

static void unplug(Desk *desk)
{
    bed_unplug(&desk->bed, desk->path);
    AWAIT(stick(desk) == NULL);
}

static BhMachine *owner(Desk *desk)
{
    return stick(desk) ? bh_usb_arbiter_get_owner(desk->arbiter, stick(desk)) : NULL;
}

static guint listed(BhMachine *machine)
{
    return bh_machine_get_usb_addresses(machine)->len;
}

static void attach_expect(Desk *desk, BhMachine *machine, gboolean consent, int code)
{
    GAsyncResult *result = NULL;
    g_autoptr(GError) error = NULL;
    bh_usb_arbiter_attach_async(desk->arbiter, machine, stick(desk), consent, NULL, await_callback,
                                &result);
    gboolean ok = bh_usb_arbiter_attach_finish(desk->arbiter, await_result(&result), &error);
    g_object_unref(result);
    if (code < 0) {
        g_assert_no_error(error);
        g_assert_true(ok);
        g_assert_true(owner(desk) == machine);
    } else {
        g_assert_error(error, BH_ERROR, code);
    }
}

static void detach(Desk *desk)
{
    GAsyncResult *result = NULL;
    GError *error = NULL;
    bh_usb_arbiter_detach_async(desk->arbiter, stick(desk), NULL, await_callback, &result);
    bh_usb_arbiter_detach_finish(desk->arbiter, await_result(&result), &error);
    g_object_unref(result);
    g_assert_no_error(error);
    g_assert_null(owner(desk));
}

static void set_rule(Desk *desk, BhMachine *machine, BhUsbRule rule)
{
    g_assert_true(
        bh_usb_rules_set(desk->rules, bh_machine_get_id(machine), STICK, "Stick", rule, NULL));
}

static void test_attach(Desk *desk, gconstpointer data)
{
    BhUsbFix fix;
    g_autofree char *reason = NULL;
    plug(desk);
    g_assert_cmpint(bh_usb_arbiter_get_route(desk->arbiter, desk->a, stick(desk), &reason, &fix),
                    ==, BH_USB_ROUTE_HOST);
    g_assert_null(reason);
    attach_expect(desk, desk->a, FALSE, -1);
    g_assert_cmpuint(listed(desk->a), ==, 1);
    g_assert_cmpint(bh_usb_arbiter_get_route(desk->arbiter, desk->b, stick(desk), &reason, &fix),
                    ==, BH_USB_ROUTE_NONE);
    g_assert_cmpint(fix, ==, BH_USB_FIX_TAKE);
    g_assert_nonnull(strstr(reason, bh_machine_get_name(desk->a)));
    detach(desk);
    await_ms(300);
    g_assert_null(owner(desk)); /* taken back by the user: stays back */
    g_assert_cmpuint(listed(desk->a), ==, 0);
}

static void test_double_click(Desk *desk, gconstpointer data)
{
    GAsyncResult *first = NULL, *second = NULL;
    g_autoptr(GError) error = NULL;
    plug(desk);
    bh_usb_arbiter_attach_async(desk->arbiter, desk->a, stick(desk), FALSE, NULL, await_callback,
                                &first);
    g_assert_true(bh_usb_arbiter_is_busy(desk->arbiter, stick(desk)));
    bh_usb_arbiter_attach_async(desk->arbiter, desk->a, stick(desk), FALSE, NULL, await_callback,
                                &second);
    g_assert_false(bh_usb_arbiter_attach_finish(desk->arbiter, await_result(&second), &error));
    g_assert_error(error, BH_ERROR, BH_ERROR_BUSY);
    g_assert_true(bh_usb_arbiter_attach_finish(desk->arbiter, await_result(&first), NULL));
    g_object_unref(first);
    g_object_unref(second);
    g_assert_true(owner(desk) == desk->a);
    g_assert_false(bh_usb_arbiter_is_busy(desk->arbiter, stick(desk)));
    attach_expect(desk, desk->a, FALSE, -1); /* has it: nothing to do */
}

/* Off again while it is still on its way in. */
static void test_change_of_mind(Desk *desk, gconstpointer data)
{
    GAsyncResult *result = NULL;
    g_autoptr(GError) error = NULL;
    plug(desk);
    bh_usb_arbiter_attach_async(desk->arbiter, desk->a, stick(desk), FALSE, NULL, await_callback,
                                &result);
    await_ms(15); /* under way in the driver */
    detach(desk);
    g_assert_false(bh_usb_arbiter_attach_finish(desk->arbiter, await_result(&result), &error));
    g_assert_error(error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
    g_object_unref(result);
    await_ms(300);
    g_assert_null(owner(desk));
    g_assert_cmpuint(listed(desk->a), ==, 0);
}

static void test_cancel(Desk *desk, gconstpointer data)
{
    GAsyncResult *result = NULL;
    g_autoptr(GError) error = NULL;
    g_autoptr(BhJob) job = bh_job_new("test", NULL);
    plug(desk);
    bh_usb_arbiter_attach_async(desk->arbiter, desk->a, stick(desk), FALSE, job, await_callback,
                                &result);
    await_ms(15);
    bh_job_cancel(job);
    g_assert_false(bh_usb_arbiter_attach_finish(desk->arbiter, await_result(&result), &error));
    g_assert_error(error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
    g_object_unref(result);
    g_assert_cmpint(bh_job_get_state(job), ==, BH_JOB_CANCELLED);
    await_ms(200);
    g_assert_cmpuint(listed(desk->a), ==, 0);
}

static void test_vanish(Desk *desk, gconstpointer data)
{
    for (guint delay = 0; delay <= 30; delay += 15) {
        GAsyncResult *result = NULL;
        g_autoptr(GError) error = NULL;
        plug(desk);
        bh_usb_arbiter_attach_async(desk->arbiter, desk->a, stick(desk), FALSE, NULL,
                                    await_callback, &result);
        if (delay)
            await_ms(delay);
        unplug(desk);
        g_assert_false(bh_usb_arbiter_attach_finish(desk->arbiter, await_result(&result), &error));
        g_assert_error(error, BH_ERROR, BH_ERROR_NOT_FOUND);
        g_object_unref(result);
        await_ms(150);
        AWAIT(listed(desk->a) == 0); /* what came too late was taken out again */
    }
    g_assert_cmpuint(desk->failed, ==, 0);
}

static void test_stop_in_mid_attach(Desk *desk, gconstpointer data)
{
    GAsyncResult *result = NULL;
    g_autoptr(GError) error = NULL;
    plug(desk);
    bh_usb_arbiter_attach_async(desk->arbiter, desk->a, stick(desk), FALSE, NULL, await_callback,
                                &result);
    await_ms(15);
    bh_fake_host_force_state(BH_FAKE_HOST(desk->host), desk->a, BH_STATE_OFF);
    g_assert_false(bh_usb_arbiter_attach_finish(desk->arbiter, await_result(&result), &error));
    g_assert_error(error, BH_ERROR, BH_ERROR_BUSY);
    g_object_unref(result);
    attach_expect(desk, desk->b, FALSE, -1); /* not wedged */
}

static void test_replug(Desk *desk, gconstpointer data)
{
    plug(desk);
    attach_expect(desk, desk->a, FALSE, -1);
    unplug(desk);
    AWAIT(listed(desk->a) == 0); /* the stale entry was removed */
    plug_at(desk, "1-7", 9);
    AWAIT(owner(desk) == desk->a);
    AWAIT(listed(desk->a) == 1);
    /* Enumerates anew at once, as after a firmware update. */
    bed_unplug(&desk->bed, desk->path);
    plug_at(desk, "1-7", 10);
    AWAIT(stick(desk) && bh_usb_device_get_address(stick(desk)).address == 10);
    AWAIT(owner(desk) == desk->a && !bh_usb_arbiter_is_busy(desk->arbiter, stick(desk)));
    AWAIT(listed(desk->a) == 1);
    /* Back before the stale entry is gone. */
    for (guint i = 11; i < 15; i++) {
        bed_unplug(&desk->bed, desk->path);
        await_ms(i % 2 ? 5 : 45);
        plug_at(desk, "1-7", i);
        AWAIT(stick(desk) && bh_usb_device_get_address(stick(desk)).address == i);
        bh_usb_arbiter_track(desk->arbiter, STICK)->automatic = 0;
        AWAIT(owner(desk) == desk->a && !bh_usb_arbiter_is_busy(desk->arbiter, stick(desk)));
        AWAIT(listed(desk->a) == 1);
    }
    g_assert_cmpuint(desk->failed, ==, 0);
}

static void test_restart(Desk *desk, gconstpointer data)
{
    plug(desk);
    attach_expect(desk, desk->a, FALSE, -1);
    bh_fake_host_force_state(BH_FAKE_HOST(desk->host), desk->a, BH_STATE_OFF);
    AWAIT(owner(desk) == NULL);
    bh_fake_host_force_state(BH_FAKE_HOST(desk->host), desk->a, BH_STATE_RUNNING);
    AWAIT(owner(desk) == desk->a);
}

/* Detached by another program: respected. */
static void test_behind_its_back(Desk *desk, gconstpointer data)
{
    GAsyncResult *result = NULL;
    plug(desk);
    attach_expect(desk, desk->a, FALSE, -1);
    set_rule(desk, desk->a, BH_USB_RULE_ALWAYS);
    BhUsbAddress address = bh_usb_device_get_address(stick(desk));
    bh_machine_usb_detach_async(desk->a, &address, NULL, await_callback, &result);
    g_assert_true(bh_machine_usb_detach_finish(desk->a, await_result(&result), NULL));
    g_object_unref(result);
    AWAIT(owner(desk) == NULL);
    await_ms(500);
    g_assert_null(owner(desk));
    unplug(desk); /* until it is plugged in again */
    plug(desk);
    AWAIT(owner(desk) == desk->a);
}

/* Attached by another program: brought back like any other. */
static void test_adopted(Desk *desk, gconstpointer data)
{
    GAsyncResult *result = NULL;
    plug(desk);
    BhUsbAddress address = bh_usb_device_get_address(stick(desk));
    bh_machine_usb_attach_async(desk->b, &address, NULL, await_callback, &result);
    g_assert_true(bh_machine_usb_attach_finish(desk->b, await_result(&result), NULL));
    g_object_unref(result);
    AWAIT(owner(desk) == desk->b);
    unplug(desk);
    plug_at(desk, "1-5", 12);
    AWAIT(owner(desk) == desk->b);
    detach(desk);
    await_ms(300);
    g_assert_null(owner(desk));
}

static void test_passive(Desk *desk, gconstpointer data)
{
    bh_usb_arbiter_set_automatic(desk->arbiter, FALSE);
    set_rule(desk, desk->a, BH_USB_RULE_ALWAYS);
    plug(desk);
    await_ms(200);
    g_assert_null(owner(desk));
    attach_expect(desk, desk->a, FALSE, -1); /* what it is told, it does */
    bh_usb_arbiter_set_automatic(desk->arbiter, TRUE);
    unplug(desk);
    plug(desk);
    AWAIT(owner(desk) == desk->a);
}

static void test_always(Desk *desk, gconstpointer data)
{
    set_rule(desk, desk->b, BH_USB_RULE_ALWAYS);
    plug(desk);
    AWAIT(owner(desk) == desk->b);
    g_assert_cmpstr(desk->asked->str, ==, "");
    set_rule(desk, desk->a, BH_USB_RULE_ALWAYS);
    await_ms(100);
    g_assert_true(owner(desk) == desk->b); /* never taken away by itself */
    unplug(desk);
    plug(desk);
    AWAIT(owner(desk) == desk->b); /* had it last */
    detach(desk);
    await_ms(200);
    g_assert_null(owner(desk));
    bh_fake_host_force_state(BH_FAKE_HOST(desk->host), desk->b, BH_STATE_OFF);
    AWAIT(owner(desk) == desk->a);
}

static void test_never(Desk *desk, gconstpointer data)
{
    g_autofree char *reason = NULL;
    BhUsbFix fix;
    set_rule(desk, desk->a, BH_USB_RULE_NEVER);
    plug(desk);
    g_assert_cmpint(bh_usb_arbiter_get_route(desk->arbiter, desk->a, stick(desk), &reason, &fix),
                    ==, BH_USB_ROUTE_NONE);
    g_assert_nonnull(reason);
    attach_expect(desk, desk->a, TRUE, BH_ERROR_NOT_SUPPORTED);
    attach_expect(desk, desk->b, FALSE, -1);
}

static void test_ask(Desk *desk, gconstpointer data)
{
    g_autofree char *expected = NULL;
    set_rule(desk, desk->b, BH_USB_RULE_NEVER);
    plug(desk);
    AWAIT(desk->asked->len > 0);
    expected = g_strdup_printf("%s:%s ", bh_machine_get_name(desk->a), STICK);
    g_assert_cmpstr(desk->asked->str, ==, expected);
    g_assert_null(owner(desk));
}

static void test_take(Desk *desk, gconstpointer data)
{
    plug(desk);
    attach_expect(desk, desk->a, FALSE, -1);
    attach_expect(desk, desk->b, FALSE, BH_ERROR_NEEDS_CONFIRM);
    g_assert_true(owner(desk) == desk->a);
    attach_expect(desk, desk->b, TRUE, -1);
    g_assert_cmpuint(listed(desk->a), ==, 0);
    unplug(desk);
    plug_at(desk, "1-4", 8);
    AWAIT(owner(desk) == desk->b);
}

static void test_retry(Desk *desk, gconstpointer data)
{
    plug(desk);
    bh_fake_host_fail_next(BH_FAKE_HOST(desk->host), "usb-attach", BH_ERROR_BUSY, "busy");
    attach_expect(desk, desk->a, FALSE, -1);
    detach(desk);
    bh_fake_host_fail_next(BH_FAKE_HOST(desk->host), "usb-attach", BH_ERROR_PERMISSION, "no");
    attach_expect(desk, desk->a, FALSE, BH_ERROR_PERMISSION);
    g_assert_null(owner(desk));
}

static void test_guarded(Desk *desk, gconstpointer data)
{
    plug(desk);
    bed_add_disk(&desk->bed, desk->path, "sdb", 16);
    bed_mount(&desk->bed, "8:17", "/dev/sdb1", "/media/stick");
    attach_expect(desk, desk->a, FALSE, BH_ERROR_NEEDS_CONFIRM);
    bed_mount(&desk->bed, "8:17", "/dev/sdb1", "/usr");
    attach_expect(desk, desk->a, TRUE, BH_ERROR_NOT_SUPPORTED);
    bed_mount(&desk->bed, "8:33", "/dev/sdc1", "/media/other");
    attach_expect(desk, desk->a, FALSE, -1);
}

/* A rule does not tear down the network. */
static void test_rule_and_guard(Desk *desk, gconstpointer data)
{
    set_rule(desk, desk->a, BH_USB_RULE_ALWAYS);
    bed_write(&desk->bed, "net/route",
              "enx0\t00000000\t0102A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\n");
    g_autofree char *path =
        bed_add_usb(&desk->bed, BED_PCI "/usb1/1-3", "0951:1666", 3, "00", "Stick", "A1");
    g_autofree char *text =
        g_strdup_printf("P: %s/1:1.0/net/enx0\nE: SUBSYSTEM=net\nE: INTERFACE=enx0\n", path + 4);
    umockdev_testbed_add_from_string(desk->bed.umockdev, text, NULL);
    umockdev_testbed_uevent(desk->bed.umockdev, path, "bind");
    AWAIT(desk->failed == 1);
    g_assert_null(owner(desk));
    await_ms(100);
    g_assert_cmpuint(desk->failed, ==, 1); /* told once */
}

/* A device that resets itself whenever it is attached. */
static void test_reset_loop(Desk *desk, gconstpointer data)
{
    guint rounds = 0;
    set_rule(desk, desk->a, BH_USB_RULE_ALWAYS);
    for (rounds = 0; rounds < 20 && !desk->failed; rounds++) {
        plug_at(desk, "1-3", 3 + rounds);
        gint64 end = g_get_monotonic_time() + G_USEC_PER_SEC;
        while (owner(desk) != desk->a && !desk->failed && g_get_monotonic_time() < end)
            await_ms(5);
        unplug(desk);
    }
    g_assert_cmpuint(desk->failed, ==, 1);
    g_assert_cmpuint(rounds, <, 12);
}

static void test_left_behind(Desk *desk, gconstpointer data)
{
    BhUsbAddress gone = {.vendor = 1, .product = 2, .bus = 1, .address = 77};
    GAsyncResult *result = NULL;
    bh_machine_usb_attach_async(desk->a, &gone, NULL, await_callback, &result);
    g_assert_true(bh_machine_usb_attach_finish(desk->a, await_result(&result), NULL));
    g_object_unref(result);
    AWAIT(listed(desk->a) == 0);
}

/* ---- redirection: the host cannot pass devices through ---- */

#define REMOTE "fake:///?machines=2&running=2&delay=40&features=no-usb-passthrough"

static void test_spice(Desk *desk, gconstpointer data)
{
    g_autofree char *reason = NULL, *full = NULL;
    BhUsbFix fix;
    g_autoptr(BedRedirector) r = g_object_new(BED_TYPE_REDIRECTOR, NULL);
    plug(desk);
    g_assert_cmpint(bh_usb_arbiter_get_route(desk->arbiter, desk->a, stick(desk), &reason, &fix),
                    ==, BH_USB_ROUTE_NONE);
    g_assert_cmpint(fix, ==, BH_USB_FIX_OPEN_DISPLAY);
    bh_usb_arbiter_add_redirector(desk->arbiter, desk->a, BH_USB_REDIRECTOR(r));
    g_assert_true(bh_usb_arbiter_get_redirector(desk->arbiter, desk->a) == (gpointer)r);
    r->why_not = g_strdup("no free channel");
    r->fix = BH_USB_FIX_ADD_CHANNELS;
    g_assert_cmpint(bh_usb_arbiter_get_route(desk->arbiter, desk->a, stick(desk), &full, &fix), ==,
                    BH_USB_ROUTE_NONE);
    g_assert_cmpstr(full, ==, "no free channel");
    g_assert_cmpint(fix, ==, BH_USB_FIX_ADD_CHANNELS);
    g_clear_pointer(&r->why_not, g_free);
    r->fix = BH_USB_FIX_NONE;
    attach_expect(desk, desk->a, FALSE, -1);
    g_assert_cmpint(bh_usb_arbiter_get_route(desk->arbiter, desk->a, stick(desk), NULL, NULL), ==,
                    BH_USB_ROUTE_SPICE);
    detach(desk);
    g_assert_cmpuint(g_hash_table_size(r->connected), ==, 0);
    bh_usb_arbiter_remove_redirector(desk->arbiter, desk->a);
}

static void test_window_reopened(Desk *desk, gconstpointer data)
{
    g_autoptr(BedRedirector) r = g_object_new(BED_TYPE_REDIRECTOR, NULL);
    g_autoptr(BedRedirector) again = g_object_new(BED_TYPE_REDIRECTOR, NULL);
    plug(desk);
    bh_usb_arbiter_add_redirector(desk->arbiter, desk->a, BH_USB_REDIRECTOR(r));
    attach_expect(desk, desk->a, FALSE, -1);
    g_hash_table_remove_all(r->connected);
    bh_usb_arbiter_remove_redirector(desk->arbiter, desk->a);
    await_ms(50);
    bh_usb_arbiter_add_redirector(desk->arbiter, desk->a, BH_USB_REDIRECTOR(again));
    AWAIT(again->connects == 1);
    AWAIT(owner(desk) == desk->a);
    /* The guest rebooted and its channels came anew. */
    AWAIT(!bh_usb_arbiter_is_busy(desk->arbiter, stick(desk)));
    g_hash_table_remove_all(again->connected);
    bh_usb_redirector_changed(BH_USB_REDIRECTOR(again));
    AWAIT(again->connects == 2);
    AWAIT(owner(desk) == desk->a);
    bh_usb_arbiter_remove_redirector(desk->arbiter, desk->a);
}

static void test_mute_redirector(Desk *desk, gconstpointer data)
{
    g_autoptr(BedRedirector) r = g_object_new(BED_TYPE_REDIRECTOR, NULL);
    plug(desk);
    bh_usb_arbiter_add_redirector(desk->arbiter, desk->a, BH_USB_REDIRECTOR(r));
    r->mute = TRUE;
    attach_expect(desk, desk->a, FALSE, BH_ERROR_BUSY); /* the time limit */
    bed_redirector_answer(r);
    AWAIT(g_hash_table_size(r->connected) == 0); /* too late: undone */
    /* The window closes in the middle. */
    GAsyncResult *result = NULL;
    g_autoptr(GError) error = NULL;
    bh_usb_arbiter_attach_async(desk->arbiter, desk->a, stick(desk), FALSE, NULL, await_callback,
                                &result);
    AWAIT(r->kept != NULL);
    bh_usb_arbiter_remove_redirector(desk->arbiter, desk->a);
    g_assert_false(bh_usb_arbiter_attach_finish(desk->arbiter, await_result(&result), &error));
    g_assert_error(error, BH_ERROR, BH_ERROR_DISCONNECTED);
    g_object_unref(result);
    bed_redirector_answer(r);
    AWAIT(g_hash_table_size(r->connected) == 0);
}

static void test_cd(Desk *desk, gconstpointer data)
{
    g_autoptr(BedRedirector) r = g_object_new(BED_TYPE_REDIRECTOR, NULL);
    BhUsbRedirector *i = BH_USB_REDIRECTOR(r);
    for (guint share = 1; share < 2; share--) {
        GAsyncResult *result = NULL;
        bh_usb_redirector_share_cd_async(i, "/tmp/x.iso", share, NULL, await_callback, &result);
        g_assert_true(bh_usb_redirector_share_cd_finish(i, await_result(&result), NULL));
        g_object_unref(result);
        g_autoptr(GPtrArray) list = bh_usb_redirector_list_cds(i);
        g_assert_cmpuint(list->len, ==, share);
    }
    g_assert_true(bh_usb_redirector_can_share_cd(i));
}

static void test_reasons(Desk *desk, gconstpointer data)
{
    BhUsbFix fix;
    g_autofree char *off = NULL, *gone = NULL;
    plug(desk);
    bh_fake_host_force_state(BH_FAKE_HOST(desk->host), desk->a, BH_STATE_OFF);
    g_assert_cmpint(bh_usb_arbiter_get_route(desk->arbiter, desk->a, stick(desk), &off, &fix), ==,
                    BH_USB_ROUTE_NONE);
    g_assert_cmpint(fix, ==, BH_USB_FIX_START);
    g_autoptr(BhUsbDevice) device = g_object_ref(stick(desk));
    unplug(desk);
    g_assert_cmpint(bh_usb_arbiter_get_route(desk->arbiter, desk->b, device, &gone, &fix), ==,
                    BH_USB_ROUTE_NONE);
    g_assert_nonnull(gone);
}

/* ---- a session: QEMU opens the node with this user's rights ---- */

#define SESSION "fake:///session?machines=2&running=2&delay=40"

static void test_session(Desk *desk, gconstpointer data)
{
    BhUsbFix fix;
    g_autofree char *reason = NULL;
    g_autoptr(BedRedirector) r = g_object_new(BED_TYPE_REDIRECTOR, NULL);
    g_autofree char *root = umockdev_testbed_get_root_dir(desk->bed.umockdev);
    g_autofree char *node = g_build_filename(root, "dev/bus/usb/001/003", NULL);
    plug(desk);
    g_assert_cmpint(bh_usb_arbiter_get_route(desk->arbiter, desk->a, stick(desk), NULL, NULL), ==,
                    BH_USB_ROUTE_HOST);
    g_assert_cmpint(g_remove(node), ==, 0); /* tests may run as root: no rights deny it anything */
    g_assert_cmpint(bh_usb_arbiter_get_route(desk->arbiter, desk->a, stick(desk), &reason, &fix),
                    ==, BH_USB_ROUTE_NONE);
    g_assert_cmpint(fix, ==, BH_USB_FIX_OPEN_DISPLAY);
    bh_machine_set_display_kind(desk->a, BH_DISPLAY_VNC);
    g_clear_pointer(&reason, g_free);
    g_assert_cmpint(bh_usb_arbiter_get_route(desk->arbiter, desk->a, stick(desk), &reason, &fix),
                    ==, BH_USB_ROUTE_NONE);
    g_assert_cmpint(fix, ==, BH_USB_FIX_PERMISSION);
    g_assert_nonnull(strstr(reason, "/dev/bus/usb/001/003"));
    bh_machine_set_display_kind(desk->a, BH_DISPLAY_SPICE);
    bh_usb_arbiter_add_redirector(desk->arbiter, desk->a, BH_USB_REDIRECTOR(r));
    attach_expect(desk, desk->a, FALSE, -1);
    g_assert_cmpint(bh_usb_arbiter_get_route(desk->arbiter, desk->a, stick(desk), NULL, NULL), ==,
                    BH_USB_ROUTE_SPICE);
    bh_usb_arbiter_remove_redirector(desk->arbiter, desk->a);
}

#define ADD(name, uri, function) g_test_add(name, Desk, uri, setup, function, teardown)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD("/usb/arbiter/attach", NULL, test_attach);
    ADD("/usb/arbiter/double-click", NULL, test_double_click);
    ADD("/usb/arbiter/change-of-mind", NULL, test_change_of_mind);
    ADD("/usb/arbiter/cancel", NULL, test_cancel);
    ADD("/usb/arbiter/vanish", NULL, test_vanish);
    ADD("/usb/arbiter/stop-in-mid-attach", NULL, test_stop_in_mid_attach);
    ADD("/usb/arbiter/replug", NULL, test_replug);
    ADD("/usb/arbiter/restart", NULL, test_restart);
    ADD("/usb/arbiter/behind-its-back", NULL, test_behind_its_back);
    ADD("/usb/arbiter/adopted", NULL, test_adopted);
    ADD("/usb/arbiter/passive", NULL, test_passive);
    ADD("/usb/arbiter/always", NULL, test_always);
    ADD("/usb/arbiter/never", NULL, test_never);
    ADD("/usb/arbiter/ask", NULL, test_ask);
    ADD("/usb/arbiter/take", NULL, test_take);
    ADD("/usb/arbiter/retry", NULL, test_retry);
    ADD("/usb/arbiter/guarded", NULL, test_guarded);
    ADD("/usb/arbiter/rule-and-guard", NULL, test_rule_and_guard);
    ADD("/usb/arbiter/reset-loop", NULL, test_reset_loop);
    ADD("/usb/arbiter/left-behind", NULL, test_left_behind);
    ADD("/usb/arbiter/reasons", NULL, test_reasons);
    ADD("/usb/arbiter/spice", REMOTE, test_spice);
    ADD("/usb/arbiter/window-reopened", REMOTE, test_window_reopened);
    ADD("/usb/arbiter/mute-redirector", REMOTE, test_mute_redirector);
    ADD("/usb/arbiter/cd", REMOTE, test_cd);
    ADD("/usb/arbiter/session", SESSION, test_session);
    return g_test_run();
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The libvirt driver when things break: daemons and guests killed, files gone, changes by others.
 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <glib/gstdio.h>
#include <linux/input-event-codes.h>

#include "test_libvirt.h"

static void test_qemu_killed(void)
{
    BhHost *host = open_host();
    g_autoptr(BhMachine) machine = create(host, "Killed");
    g_autoptr(GAsyncResult) result = NULL;
    GError *error = NULL;

    act(machine, BH_VERB_START);
    kill(qemu_pid("Killed"), SIGKILL);
    AWAIT_STATE(machine, BH_STATE_CRASHED);
    g_assert_nonnull(bh_machine_get_state_detail(machine));
    g_test_message("detail: %s", bh_machine_get_state_detail(machine));
    g_assert_true(bh_machine_can(machine, BH_VERB_START, NULL));
    bh_machine_read_log_async(machine, 5, NULL, await_callback, &result);
    g_autofree char *log = bh_machine_read_log_finish(machine, await_result(&result), &error);
    g_assert_no_error(error);
    g_assert_cmpstr(log, !=, "");
    act(machine, BH_VERB_START);
    g_assert_cmpint(bh_machine_get_state(machine), ==, BH_STATE_RUNNING);
    remove_for_good(machine);
    assert_no_files_left();
    close_host(host);
}

static void test_libvirtd_killed(void)
{
    BhHost *host = open_host();
    g_autoptr(BhMachine) running = create(host, "Survivor");
    g_autoptr(BhMachine) victim = create(host, "Victim");
    g_autoptr(BhMachine) off = create(host, "Sleeper");
    GError *error = NULL;

    act(running, BH_VERB_START);
    act(victim, BH_VERB_START);
    pid_t qemu = qemu_pid("Victim");
    kill(read_pid("libvirtd.pid"), SIGKILL);
    AWAIT_LONG(bh_host_get_state(host) == BH_HOST_DISCONNECTED);
    g_assert_nonnull(bh_host_get_problem(host));
    g_assert_cmpint(bh_machine_get_state(running), ==, BH_STATE_RUNNING);
    g_assert_false(try_act(running, BH_VERB_PAUSE, NULL, &error));
    g_assert_error(error, BH_ERROR, BH_ERROR_DISCONNECTED);
    g_clear_error(&error);
    kill(qemu, SIGKILL);
    AWAIT_LONG(bh_host_get_state(host) == BH_HOST_CONNECTED);
    g_assert_null(bh_host_get_problem(host));
    AWAIT_STATE(victim, BH_STATE_CRASHED);
    g_assert_true(bh_host_find_machine(host, "Survivor") == running);
    g_assert_cmpuint(count_machines(host), ==, 3);
    g_assert_cmpint(bh_machine_get_state(running), ==, BH_STATE_RUNNING);
    g_assert_cmpint(bh_machine_get_state(off), ==, BH_STATE_OFF);
    act(running, BH_VERB_PAUSE); /* events and calls work as before */
    g_free(virsh("resume Survivor"));
    AWAIT_STATE(running, BH_STATE_RUNNING);
    remove_for_good(running);
    remove_for_good(victim);
    remove_for_good(off);
    assert_no_files_left();
    close_host(host);
}

static void test_behind_our_back(void)
{
    BhHost *host = open_host();
    g_autoptr(BhMachine) machine = create(host, "Mine");

    g_free(virsh("start Mine"));
    AWAIT_STATE(machine, BH_STATE_RUNNING);
    g_free(virsh("suspend Mine"));
    AWAIT_STATE(machine, BH_STATE_PAUSED);
    g_free(virsh("desc Mine --config --live 'new <notes>'"));
    AWAIT_LONG(g_strcmp0(bh_machine_get_spec(machine)->notes, "new <notes>") == 0);
    g_free(virsh("destroy Mine"));
    AWAIT_STATE(machine, BH_STATE_OFF);
    g_free(virsh("domrename Mine Theirs"));
    AWAIT_LONG(g_strcmp0(bh_machine_get_name(machine), "Theirs") == 0);
    g_assert_true(bh_host_find_machine(host, "Theirs") == machine);
    g_autofree char *xml = virsh("dumpxml --inactive Theirs");
    g_autofree char *file = g_build_filename(g_get_home_dir(), "theirs.xml", NULL);
    g_assert_true(g_file_set_contents(file, xml, -1, NULL));
    g_autofree char *disk = g_strdup(bh_machine_get_spec(machine)->disk_path);
    g_free(virsh("undefine Theirs"));
    AWAIT_STATE(machine, BH_STATE_GONE);
    g_assert_cmpuint(count_machines(host), ==, 0);
    g_free(virsh("define '%s'", file));
    AWAIT_LONG(count_machines(host) == 1);
    g_autoptr(BhMachine) again = g_object_ref(bh_host_find_machine(host, "Theirs"));
    g_unlink(file);
    g_unlink(disk);
    GError *error = NULL;
    g_assert_false(try_act(again, BH_VERB_START, NULL, &error));
    g_assert_error(error, BH_ERROR, BH_ERROR_NOT_FOUND);
    g_test_message("%s | %s | %s", error->message, bh_error_get_hint(error),
                   bh_error_get_detail(error));
    g_clear_error(&error);
    g_assert_cmpint(bh_machine_get_state(again), ==, BH_STATE_OFF);
    remove_for_good(again);
    assert_no_files_left();
    close_host(host);
}

/* Two machines on one disk: the second is refused with the reason, and the first is unharmed. */
static void test_disk_in_use(void)
{
    BhHost *host = open_host();
    g_autofree char *image = g_build_filename(g_get_home_dir(), "shared.img", NULL);
    const guint8 halt[] = {0xf4, 0xeb, 0xfd};
    GError *error = NULL;

    write_image(image, halt, sizeof halt, 1 << 20);
    g_autoptr(BhMachineSpec) spec = tiny_spec("First");
    spec->disk_origin = BH_DISK_IN_PLACE;
    spec->disk_source = g_strdup(image);
    g_autoptr(BhMachine) first = try_create(host, spec, NULL, &error);
    g_assert_no_error(error);
    set_text(&spec->name, "Second");
    g_autoptr(BhMachine) second = try_create(host, spec, NULL, &error);
    g_assert_no_error(error);
    act(first, BH_VERB_START);
    g_assert_false(try_act(second, BH_VERB_START, NULL, &error));
    g_assert_error(error, BH_ERROR, BH_ERROR_BUSY);
    g_assert_nonnull(bh_error_get_hint(error));
    g_test_message("%s | %s | %s", error->message, bh_error_get_hint(error),
                   bh_error_get_detail(error));
    g_clear_error(&error);
    g_assert_cmpint(bh_machine_get_state(first), ==, BH_STATE_RUNNING);
    g_assert_cmpint(bh_machine_get_state(second), ==, BH_STATE_OFF);
    remove_for_good(first);
    remove_for_good(second);
    g_assert_true(g_file_test(image, G_FILE_TEST_EXISTS)); /* used in place: not ours to remove */
    g_unlink(image);
    assert_no_files_left();
    close_host(host);
}

/* A program that died between making the disk and defining the machine. */
static void test_debris(void)
{
    g_autofree char *base = g_build_filename(g_get_user_data_dir(), "bulkhead", NULL);
    g_autofree char *uuid = g_uuid_string_random();
    g_autofree char *disk = g_strdup_printf("%s/disks/x-%s.qcow2", base, uuid);
    g_autofree char *mark = g_strdup_printf("%s/deleted/%s.making", base, uuid);
    g_autofree char *innocent = g_build_filename(base, "disks", "mine.qcow2", NULL);

    close_host(open_host()); /* the folders */
    g_autofree char *disks = g_build_filename(base, "disks", NULL);
    g_assert_cmpint(g_mkdir_with_parents(disks, 0700), ==, 0);
    g_assert_true(g_file_set_contents(disk, "x", -1, NULL));
    g_assert_true(g_file_set_contents(innocent, "x", -1, NULL));
    g_assert_true(g_file_set_contents(mark, disk, -1, NULL));
    close_host(open_host());
    g_assert_false(g_file_test(disk, G_FILE_TEST_EXISTS));
    g_assert_false(g_file_test(mark, G_FILE_TEST_EXISTS));
    g_assert_true(g_file_test(innocent, G_FILE_TEST_EXISTS));
    g_unlink(innocent);
    assert_no_files_left();
}

static void test_usb_absent(void)
{
    BhHost *host = open_host();
    g_autoptr(BhMachine) machine = create(host, "USB");
    const BhUsbAddress address = {0x1234, 0x5678, 250, 251};
    g_autoptr(GAsyncResult) attached = NULL, detached = NULL;
    GError *error = NULL;

    act(machine, BH_VERB_START);
    bh_machine_usb_attach_async(machine, &address, NULL, await_callback, &attached);
    g_assert_false(bh_machine_usb_attach_finish(machine, await_result(&attached), &error));
    g_test_message("%s | %s", error->message, bh_error_get_detail(error));
    g_assert_error(error, BH_ERROR, BH_ERROR_NOT_FOUND);
    g_clear_error(&error);
    g_assert_cmpuint(bh_machine_get_usb_addresses(machine)->len, ==, 0);
    bh_machine_usb_detach_async(machine, &address, NULL, await_callback, &detached);
    g_assert_true(bh_machine_usb_detach_finish(machine, await_result(&detached), &error));
    g_assert_no_error(error);
    remove_for_good(machine);
    assert_no_files_left();
    close_host(host);
}

/* Everything at once, and the host closed in the middle: nothing may crash or hang. */
static void test_close_busy(void)
{
    BhHost *host = open_host();
    g_autoptr(BhMachine) machine = create(host, "Busy");
    g_autoptr(GAsyncResult) result = NULL;

    bh_machine_act_async(machine, BH_VERB_START, NULL, await_callback, &result);
    await_ms(20);
    bh_host_close(host);
    bh_machine_act_finish(machine, await_result(&result), NULL);
    g_assert_cmpint(bh_host_get_state(host), ==, BH_HOST_CLOSED);
    g_clear_object(&result);
    bh_host_open_async(host, NULL, await_callback, &result);
    g_assert_true(bh_host_open_finish(host, await_result(&result), NULL));
    g_autoptr(BhMachine) again = g_object_ref(bh_host_find_machine(host, "Busy"));
    AWAIT_LONG(bh_machine_get_state(again) == BH_STATE_RUNNING ||
               bh_machine_get_state(again) == BH_STATE_OFF);
    remove_for_good(again);
    assert_no_files_left();
    close_host(host);
}

void add_fault_tests(void)
{
    g_test_add_func("/libvirt/qemu-killed", test_qemu_killed);
    g_test_add_func("/libvirt/libvirtd-killed", test_libvirtd_killed);
    g_test_add_func("/libvirt/behind-our-back", test_behind_our_back);
    g_test_add_func("/libvirt/disk-in-use", test_disk_in_use);
    g_test_add_func("/libvirt/debris", test_debris);
    g_test_add_func("/libvirt/usb-absent", test_usb_absent);
    g_test_add_func("/libvirt/close-busy", test_close_busy);
}

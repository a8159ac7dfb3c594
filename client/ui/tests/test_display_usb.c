/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * BhDisplayLink and BhDisplayUsb on a real QEMU: connection, loss and return, and an ISO that
 * becomes a USB CD in the guest. QEMU's monitor says what really happened ("info usb": the empty
 * redirection port has 1.5 Mb/s, a redirected CD 480).
 */
#include <gio/gunixsocketaddress.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>

#include <bulkhead/error.h>

#include "../../host/tests/await.h"
#include "../display-link.h"
#include "../display-usb.h"

#define EMULATOR "qemu-system-x86_64"

/* --- a machine that is a QEMU of ours --- */

#define TEST_TYPE_MACHINE (test_machine_get_type())
G_DECLARE_FINAL_TYPE(TestMachine, test_machine, TEST, MACHINE, BhMachine)

struct _TestMachine {
    BhMachine parent_instance;
    char *socket;
};

G_DEFINE_TYPE(TestMachine, test_machine, BH_TYPE_MACHINE)

static int connect_unix(const char *path, GError **error)
{
    g_autoptr(GSocketAddress) address = g_unix_socket_address_new(path);
    g_autoptr(GSocket) socket =
        g_socket_new(G_SOCKET_FAMILY_UNIX, G_SOCKET_TYPE_STREAM, G_SOCKET_PROTOCOL_DEFAULT, error);

    if (!socket || !g_socket_connect(socket, address, NULL, error))
        return -1;
    return dup(g_socket_get_fd(socket));
}

static void test_machine_open_display(BhMachine *machine, GTask *task)
{
    GError *error = NULL;
    int fd = connect_unix(TEST_MACHINE(machine)->socket, &error);

    if (fd >= 0)
        g_task_return_int(task, fd);
    else
        g_task_return_error(task, error);
    g_object_unref(task);
}

static void test_machine_finalize(GObject *object)
{
    g_free(TEST_MACHINE(object)->socket);
    G_OBJECT_CLASS(test_machine_parent_class)->finalize(object);
}

static void test_machine_class_init(TestMachineClass *class)
{
    BH_MACHINE_CLASS(class)->open_display = test_machine_open_display;
    G_OBJECT_CLASS(class)->finalize = test_machine_finalize;
}

static void test_machine_init(TestMachine *self)
{
}

/* --- the bed --- */

typedef struct {
    char *dir, *monitor, *iso;
    GSubprocess *qemu;
    TestMachine *machine;
    BhDisplayLink *link;
    BhDisplayUsb *usb;
} Bed;

/* A test that is killed leaves no QEMU behind. */
static void die_with_parent(gpointer data)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
}

static void start_qemu(Bed *bed)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GSubprocessLauncher) launcher = g_subprocess_launcher_new(
        G_SUBPROCESS_FLAGS_STDERR_SILENCE | G_SUBPROCESS_FLAGS_STDOUT_SILENCE);
    g_autofree char *spice =
        g_strdup_printf("unix=on,addr=%s,disable-ticketing=on", bed->machine->socket);
    g_autofree char *monitor = g_strdup_printf("unix:%s,server,nowait", bed->monitor);

    g_unlink(bed->machine->socket);
    g_unlink(bed->monitor);
    g_subprocess_launcher_set_child_setup(launcher, die_with_parent, NULL, NULL);
    bed->qemu = g_subprocess_launcher_spawn(
        launcher, &error, EMULATOR, "-machine", "q35,accel=tcg", "-m", "64", "-display", "none",
        "-nodefaults", "-vga", "std", "-device", "qemu-xhci,id=xhci", "-spice", spice, "-chardev",
        "spicevmc,name=usbredir,id=r1", "-device", "usb-redir,chardev=r1,id=ur1,bus=xhci.0",
        "-monitor", monitor, NULL);
    g_assert_no_error(error);
}

static void stop_qemu(Bed *bed)
{
    g_subprocess_force_exit(bed->qemu);
    g_subprocess_wait(bed->qemu, NULL, NULL);
    g_clear_object(&bed->qemu);
}

/* What the monitor answers to one command. */
static char *ask(Bed *bed, const char *command)
{
    g_autoptr(GString) text = g_string_new(NULL);
    g_autofree char *line = g_strdup_printf("%s\n", command);
    int fd = connect_unix(bed->monitor, NULL);
    char buffer[4096];
    gssize n;

    if (fd < 0)
        return g_strdup("");
    g_assert_cmpint(write(fd, line, strlen(line)), ==, strlen(line));
    while (!g_strrstr(text->str, "\n(qemu) ") && (n = read(fd, buffer, sizeof buffer)) > 0)
        g_string_append_len(text, buffer, n);
    close(fd);
    return g_string_free(g_steal_pointer(&text), FALSE);
}

static gboolean cd_in_guest(Bed *bed)
{
    g_autofree char *text = ask(bed, "info usb");

    return strstr(text, "480 Mb/s") != NULL;
}

static void on_link(Bed *bed)
{
    if (bh_display_link_get_state(bed->link) == BH_LINK_OPEN && !bed->usb)
        bed->usb = bh_display_usb_new(bh_display_link_get_session(bed->link));
}

static void on_session(BhDisplayLink *link, SpiceSession *session, Bed *bed)
{
    if (bed->usb)
        bh_display_usb_close(bed->usb);
    g_clear_object(&bed->usb);
}

static void make_iso(Bed *bed)
{
    g_autofree char *bytes = g_malloc0(1 << 20);

    memcpy(bytes + 0x8000, "\1CD001\1", 7);
    g_assert_true(g_file_set_contents(bed->iso, bytes, 1 << 20, NULL));
}

static void set_up(Bed *bed, gconstpointer data)
{
    bed->dir = g_dir_make_tmp("bh-usb-XXXXXX", NULL);
    bed->monitor = g_build_filename(bed->dir, "m", NULL);
    bed->iso = g_build_filename(bed->dir, "x.iso", NULL);
    make_iso(bed);
    bed->machine =
        g_object_new(TEST_TYPE_MACHINE, "id", "8e4f2d1c-0000-4000-8000-000000000002", NULL);
    bed->machine->socket = g_build_filename(bed->dir, "s", NULL);
    bh_machine_set_display_kind(BH_MACHINE(bed->machine), BH_DISPLAY_SPICE);
    start_qemu(bed);
    bed->link = bh_display_link_new(BH_MACHINE(bed->machine));
    g_signal_connect_swapped(bed->link, "changed", G_CALLBACK(on_link), bed);
    g_signal_connect(bed->link, "session", G_CALLBACK(on_session), bed);
    bh_display_link_start(bed->link);
}

static void tear_down(Bed *bed, gconstpointer data)
{
    const char *names[] = {"s", "m", "x.iso"};
    gpointer machine = bed->machine;

    bh_display_link_close(bed->link);
    g_assert_null(bed->usb);
    g_clear_object(&bed->link);
    if (bed->qemu)
        stop_qemu(bed);
    /* spice-gtk ends sessions from idle callbacks; then nothing of them holds the machine. */
    g_object_add_weak_pointer(G_OBJECT(bed->machine), &machine);
    g_object_unref(bed->machine);
    AWAIT(machine == NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autofree char *path = g_build_filename(bed->dir, names[i], NULL);
        g_unlink(path);
    }
    g_rmdir(bed->dir);
    g_free(bed->dir);
    g_free(bed->monitor);
    g_free(bed->iso);
}

static void run_machine(Bed *bed)
{
    bh_machine_set_state(BH_MACHINE(bed->machine), BH_STATE_RUNNING, NULL);
    AWAIT(bed->usb != NULL);
    AWAIT(spice_session_has_channel_type(bh_display_link_get_session(bed->link),
                                         SPICE_CHANNEL_USBREDIR));
}

static gboolean share(Bed *bed, gboolean on, GError **error)
{
    g_autoptr(GAsyncResult) result = NULL;
    BhUsbRedirector *redirector = BH_USB_REDIRECTOR(bed->usb);

    bh_usb_redirector_share_cd_async(redirector, bed->iso, on, NULL, await_callback, &result);
    await_result(&result);
    return bh_usb_redirector_share_cd_finish(redirector, result, error);
}

static guint count_cds(Bed *bed)
{
    g_autoptr(GPtrArray) cds = bh_usb_redirector_list_cds(BH_USB_REDIRECTOR(bed->usb));

    return cds->len;
}

/* --- tests --- */

static void test_share_cd(Bed *bed, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *reason = NULL;
    BhUsbFix fix = BH_USB_FIX_NONE;

    run_machine(bed);
    g_assert_false(cd_in_guest(bed));
    share(bed, TRUE, &error);
    g_assert_no_error(error);
    AWAIT(cd_in_guest(bed));
    g_assert_cmpuint(count_cds(bed), ==, 1);
    /* the only channel is taken now */
    reason = bh_usb_redirector_why_not_cd(BH_USB_REDIRECTOR(bed->usb), &fix);
    g_assert_nonnull(reason);
    g_assert_cmpint(fix, ==, BH_USB_FIX_ADD_CHANNELS);
    share(bed, FALSE, &error);
    g_assert_no_error(error);
    AWAIT(!cd_in_guest(bed));
    g_assert_cmpuint(count_cds(bed), ==, 0);
    /* and again: the channel is free */
    share(bed, TRUE, &error);
    g_assert_no_error(error);
    AWAIT(cd_in_guest(bed));
}

/* A file that is none leaves the channel free for the next one. */
static void test_bad_iso(Bed *bed, gconstpointer data)
{
    g_autoptr(GError) error = NULL;

    run_machine(bed);
    g_unlink(bed->iso);
    g_assert_false(share(bed, TRUE, &error));
    g_assert_error(error, BH_ERROR, BH_ERROR_NOT_FOUND);
    g_clear_error(&error);
    make_iso(bed);
    share(bed, TRUE, &error);
    g_assert_no_error(error);
    AWAIT(cd_in_guest(bed));
}

/* QEMU dies while a CD is redirected, and while one is on its way. */
static void test_death(Bed *bed, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GAsyncResult) result = NULL;
    g_autoptr(BhDisplayUsb) old = NULL;

    run_machine(bed);
    old = g_object_ref(bed->usb);
    bh_usb_redirector_share_cd_async(BH_USB_REDIRECTOR(old), bed->iso, TRUE, NULL, await_callback,
                                     &result);
    g_subprocess_force_exit(bed->qemu);
    await_result(&result);
    if (!bh_usb_redirector_share_cd_finish(BH_USB_REDIRECTOR(old), result, &error))
        g_assert_error(error, BH_ERROR, BH_ERROR_DISCONNECTED);
    AWAIT(bh_display_link_get_state(bed->link) == BH_LINK_WAITING);
    g_assert_nonnull(bh_display_link_get_error(bed->link));
    stop_qemu(bed);
    /* it comes back, and so does the display */
    start_qemu(bed);
    AWAIT(bed->usb != NULL);
    g_assert_true(bed->usb != old);
    AWAIT(spice_session_has_channel_type(bh_display_link_get_session(bed->link),
                                         SPICE_CHANNEL_USBREDIR));
    g_clear_error(&error);
    share(bed, TRUE, &error);
    g_assert_no_error(error);
    AWAIT(cd_in_guest(bed));
    g_subprocess_force_exit(bed->qemu);
    AWAIT(bh_display_link_get_state(bed->link) == BH_LINK_WAITING);
}

/* The link follows the machine's state, and asks for nothing while it is off. */
static void test_follows_state(Bed *bed, gconstpointer data)
{
    g_assert_cmpint(bh_display_link_get_state(bed->link), ==, BH_LINK_IDLE);
    run_machine(bed);
    g_assert_nonnull(bh_display_link_get_main(bed->link));
    bh_machine_set_state(BH_MACHINE(bed->machine), BH_STATE_OFF, NULL);
    g_assert_cmpint(bh_display_link_get_state(bed->link), ==, BH_LINK_IDLE);
    g_assert_null(bh_display_link_get_session(bed->link));
    bh_machine_set_state(BH_MACHINE(bed->machine), BH_STATE_RUNNING, NULL);
    AWAIT(bh_display_link_get_state(bed->link) == BH_LINK_OPEN);
}

int main(int argc, char **argv)
{
    g_autofree char *emulator = g_find_program_in_path(EMULATOR);

    g_test_init(&argc, &argv, NULL);
    /* spice-gtk warns about a QEMU that is not up yet or has just died, which is what is tested. */
    g_log_set_always_fatal(G_LOG_FATAL_MASK | G_LOG_LEVEL_CRITICAL);
    if (!emulator)
        return 77;
    g_test_add("/display/link/state", Bed, NULL, set_up, test_follows_state, tear_down);
    g_test_add("/display/usb/share-cd", Bed, NULL, set_up, test_share_cd, tear_down);
    g_test_add("/display/usb/bad-iso", Bed, NULL, set_up, test_bad_iso, tear_down);
    g_test_add("/display/usb/death", Bed, NULL, set_up, test_death, tear_down);
    return g_test_run();
}

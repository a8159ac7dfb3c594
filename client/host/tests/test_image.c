/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Media inspection, import and create on real files made with qemu-img, and on every kind of bad
 * input: truncated, corrupt, foreign, unreadable, full disk, cancelled, killed.
 */
#include "../image-private.h"

#include <bulkhead/error.h>
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define MIB (G_GUINT64_CONSTANT(1) << 20)

static char *folder; /* of this run, removed at the end */

static char *in_folder(const char *name)
{
    return g_build_filename(folder, name, NULL);
}

static void run(const char *format, ...) G_GNUC_PRINTF(1, 2);
static void run(const char *format, ...)
{
    g_autofree char *command = NULL, *output = NULL, *errors = NULL;
    g_autoptr(GError) error = NULL;
    int status = 0;
    va_list args;

    va_start(args, format);
    command = g_strdup_vprintf(format, args);
    va_end(args);
    const char *argv[] = {"/bin/sh", "-c", command, NULL};
    g_spawn_sync(folder, (char **)argv, NULL, 0, NULL, NULL, &output, &errors, &status, &error);
    g_assert_no_error(error);
    if (status != 0)
        g_error("%s: status %d: %s", command, status, errors);
}

/* Puts a script in front of the real qemu-img in PATH; with NULL takes it away again. what runs
 * before the real program, and sees its arguments. */
static void wrap_qemu_img(const char *what)
{
    static char *search, *real;
    g_autofree char *bin = in_folder("bin"), *file = in_folder("bin/qemu-img");
    g_autofree char *script = NULL, *path = NULL;

    if (!search) {
        search = g_strdup(g_getenv("PATH"));
        real = g_find_program_in_path("qemu-img");
    }
    g_setenv("PATH", search, TRUE);
    if (!what)
        return;
    path = g_strdup_printf("%s:%s", bin, search);
    script = g_strdup_printf("#!/bin/sh\nreal=%s\n%s\nexec $real \"$@\"\n", real, what);
    g_mkdir_with_parents(bin, 0755);
    g_assert_true(g_file_set_contents(file, script, -1, NULL));
    g_assert_cmpint(g_chmod(file, 0755), ==, 0);
    g_setenv("PATH", path, TRUE);
}

/* A copy that takes a minute, whatever the computer. */
#define SLOWLY "test $1 = convert && { shift; exec $real convert -r 256k \"$@\"; }"

/* Waiting for an operation with the main loop running, as the program does. */
typedef struct {
    GMainLoop *loop;
    GAsyncResult *result;
} Wait;

static void on_done(GObject *source, GAsyncResult *result, gpointer data)
{
    Wait *self = data;
    self->result = g_object_ref(result);
    g_main_loop_quit(self->loop);
}

static GAsyncResult *wait_for(Wait *self)
{
    g_main_loop_run(self->loop);
    g_clear_pointer(&self->loop, g_main_loop_unref);
    return self->result;
}

static BhMediaInfo *inspect(const char *name, GError **error)
{
    g_autofree char *path = in_folder(name);
    Wait wait = {g_main_loop_new(NULL, FALSE), NULL};
    BhMediaInfo *info;

    bh_media_inspect_async(path, NULL, on_done, &wait);
    info = bh_media_inspect_finish(wait_for(&wait), error);
    g_object_unref(wait.result);
    return info;
}

static gboolean import_job(const char *from, const char *to, guint64 size, BhJob *job,
                           GError **error)
{
    g_autofree char *source = in_folder(from), *target = in_folder(to);
    Wait wait = {g_main_loop_new(NULL, FALSE), NULL};
    gboolean good;

    bh_image_import_async(source, target, size, job, on_done, &wait);
    good = bh_image_import_finish(wait_for(&wait), error);
    g_object_unref(wait.result);
    return good;
}

static gboolean create(const char *to, guint64 size, GError **error)
{
    g_autofree char *target = in_folder(to);
    Wait wait = {g_main_loop_new(NULL, FALSE), NULL};
    gboolean good;

    bh_image_create_async(target, size, NULL, on_done, &wait);
    good = bh_image_create_finish(wait_for(&wait), error);
    g_object_unref(wait.result);
    return good;
}

static gboolean exists(const char *name)
{
    g_autofree char *path = in_folder(name);
    return g_file_test(path, G_FILE_TEST_EXISTS);
}

/* Files whose names say they are temporaries. */
static guint count_debris(const char *sub)
{
    g_autofree char *path = in_folder(sub);
    g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
    guint count = 0;
    const char *name;

    while (dir && (name = g_dir_read_name(dir)))
        count += g_str_has_prefix(name, ".bulkhead-");
    return count;
}

static void refuse(const char *name, BhErrorCode code, const char *word)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(BhMediaInfo) info = inspect(name, &error);
    g_autofree char *text = NULL;

    g_assert_null(info);
    g_assert_error(error, BH_ERROR, (int)code);
    text = bh_error_to_text(error);
    g_test_message("%s", text);
    if (!strstr(text, word))
        g_error("“%s” does not contain “%s”", text, word);
}

static BhMediaInfo *accept(const char *name)
{
    g_autoptr(GError) error = NULL;
    BhMediaInfo *info = inspect(name, &error);

    if (error)
        g_error("%s: %s: %s", name, error->message, bh_error_get_detail(error));
    g_assert_nonnull(info->suggested_name);
    return info;
}

/* 8 MiB of data in a 16 MiB disk, in each format. */
static void make_images(void)
{
    run("head -c 8M /dev/urandom >disk.raw && truncate -s 16M disk.raw");
    run("for f in qcow2 vmdk vdi vhdx vpc; do qemu-img convert -f raw -O $f disk.raw disk.$f; "
        "done");
    run("qemu-img convert -c -f raw -O qcow2 disk.raw packed.qcow2");
    run("mkdir -p tree && echo hello >tree/file && head -c 2048 /dev/zero >tree/boot.bin");
    run("genisoimage -quiet -r -V 'Debian 12.5.0 amd64 n' -b boot.bin -no-emul-boot -o boot.iso "
        "tree");
    run("genisoimage -quiet -r -V 'PHOTOS' -o photos.iso tree");
}

static void test_formats(void)
{
    const char *const formats[] = {"raw", "qcow2", "vmdk", "vdi", "vhdx", "vpc"};

    for (gsize i = 0; i < G_N_ELEMENTS(formats); i++) {
        g_autofree char *name = g_strconcat("disk.", formats[i], NULL);
        g_autoptr(BhMediaInfo) info = accept(name);
        g_assert_cmpint(info->kind, ==, BH_MEDIA_DISK);
        g_assert_cmpstr(info->format, ==, formats[i]);
        g_assert_cmpuint(info->virtual_size, >=, 16 * MIB);
        g_assert_cmpuint(info->virtual_size, <, 18 * MIB);
        g_assert_cmpstr(info->suggested_name, ==, "disk");
    }
}

/* Everything qemu-img can write in the formats we take is taken, and copied right. */
static void test_variants(void)
{
    const char *const options[][3] = {
        {"vmdk", "subformat=streamOptimized"},
        {"vmdk", "subformat=monolithicFlat"},
        {"vmdk", "subformat=twoGbMaxExtentSparse"},
        {"vmdk", "subformat=twoGbMaxExtentFlat"},
        {"vdi", "static=on"},
        {"vhdx", "subformat=fixed"},
        {"vpc", "subformat=fixed,force_size=on"},
        {"qcow2", "compat=0.10"},
        {"qcow2", "preallocation=metadata"},
        {"qcow2", "preallocation=full"},
        {"qcow2", "cluster_size=4k,refcount_bits=64"},
        {"qcow2", "extended_l2=on"},
    };

    run("mkdir -p variants");
    for (gsize i = 0; i < G_N_ELEMENTS(options); i++) {
        g_autoptr(GError) error = NULL;
        run("rm -f variants/*; qemu-img convert -f raw -O %s -o %s disk.raw variants/v.%s",
            options[i][0], options[i][1], options[i][0]);
        g_autofree char *name = g_strconcat("variants/v.", options[i][0], NULL);
        if (!import_job(name, "variants/out.qcow2", 0, NULL, &error))
            g_error("%s: %s: %s", options[i][1], error->message, bh_error_get_detail(error));
        run("qemu-img compare -q -f raw -F qcow2 disk.raw variants/out.qcow2");
    }
    run("qemu-img snapshot -c one packed.qcow2");
    g_autoptr(BhMediaInfo) snapshot = accept("packed.qcow2");
    g_assert_cmpuint(snapshot->virtual_size, ==, 16 * MIB);
}

static void test_iso_variants(void)
{
    run("genisoimage -quiet -r -J -udf -V UDF -o udf.iso tree");
    run("genisoimage -quiet -r -no-pad -V NOPAD -o nopad.iso tree");
    run("cat boot.iso nopad.iso >longer.iso; (cat boot.iso; head -c 1M /dev/zero) >padded.iso");
    g_autoptr(BhMediaInfo) udf = accept("udf.iso"), nopad = accept("nopad.iso");
    g_autoptr(BhMediaInfo) longer = accept("longer.iso"), padded = accept("padded.iso");
    g_assert_true(padded->bootable && longer->bootable);
    g_assert_cmpint(udf->kind, ==, BH_MEDIA_ISO);
    run("genisoimage -quiet -r -udf -V CCCOMA_X64FRE_EN-US_DV9 -publisher 'MICROSOFT CORPORATION' "
        "-b boot.bin -no-emul-boot -o win.iso tree");
    g_autoptr(BhMediaInfo) windows = accept("win.iso");
    g_assert_cmpstr(windows->os_id, ==, "http://microsoft.com/win/11");
    run("truncate -s 1M udf.iso; truncate -s 600K udf.iso");
    refuse("udf.iso", BH_ERROR_INVALID, "truncated");
}

static void test_iso(void)
{
    g_autoptr(BhMediaInfo) boot = accept("boot.iso"), photos = accept("photos.iso");

    g_assert_cmpint(boot->kind, ==, BH_MEDIA_ISO);
    g_assert_cmpstr(boot->format, ==, "iso");
    g_assert_true(boot->bootable);
    g_assert_cmpstr(boot->os_name, ==, "Debian 12");
    g_assert_cmpstr(boot->suggested_name, ==, "Debian 12");
    g_assert_false(photos->bootable);
    g_assert_null(photos->os_id);
    g_assert_cmpstr(photos->suggested_name, ==, "photos");
}

static void test_names(void)
{
    g_autoptr(BhMediaInfo) unicode = NULL, guessed = NULL, bad = NULL;

    run("cp packed.qcow2 '日本語_ディスク 🐧.qcow2'; cp packed.qcow2 ubuntu-22.04-server.img");
    run("cp packed.qcow2 \"$(printf 'bad\\377name: a,b\\n.qcow2')\"");
    unicode = accept("日本語_ディスク 🐧.qcow2");
    g_assert_cmpstr(unicode->suggested_name, ==, "日本語 ディスク 🐧");
    guessed = accept("ubuntu-22.04-server.img");
    g_assert_cmpstr(guessed->os_id, ==, "http://ubuntu.com/ubuntu/22.04");
    g_assert_cmpstr(guessed->format, ==, "qcow2");
    bad = accept("bad\377name: a,b\n.qcow2");
    g_assert_true(g_utf8_validate(bad->suggested_name, -1, NULL));
    g_assert_null(strchr(bad->suggested_name, '\n'));
}

static void test_not_images(void)
{
    run("mkdir -p dir; mkfifo -m 600 pipe; : >empty.iso; echo text >text.iso; echo x >small.img");
    run("head -c 100000 /dev/urandom >noise.qcow2; ln -sf nowhere dangling.iso; gzip -k disk.raw");
    refuse("missing.iso", BH_ERROR_NOT_FOUND, "does not exist");
    refuse("dangling.iso", BH_ERROR_NOT_FOUND, "does not exist");
    refuse("text.iso/below.iso", BH_ERROR_NOT_FOUND, "does not exist");
    refuse("dir", BH_ERROR_INVALID, "folder");
    refuse("pipe", BH_ERROR_INVALID, "not an ordinary file");
    refuse("../../../../../../../../dev/null", BH_ERROR_INVALID, "device");
    refuse("empty.iso", BH_ERROR_INVALID, "empty");
    refuse("text.iso", BH_ERROR_INVALID, "not a disk image or ISO");
    refuse("small.img", BH_ERROR_INVALID, "not a disk image or ISO");
    refuse("noise.qcow2", BH_ERROR_INVALID, "not a disk image or ISO");
    refuse("disk.raw.gz", BH_ERROR_INVALID, "Unpack");
}

/* A process without root's powers is needed to be refused by permissions. */
static void test_no_permission(void)
{
    run("cp packed.qcow2 secret.qcow2 && chmod 000 secret.qcow2");
    if (geteuid() != 0) {
        refuse("secret.qcow2", BH_ERROR_PERMISSION, "may not read");
        return;
    }
    run("chmod 755 .");
    if (seteuid(65534) != 0) {
        g_test_skip("cannot become an ordinary user");
        return;
    }
    refuse("secret.qcow2", BH_ERROR_PERMISSION, "may not read");
    g_assert_cmpint(seteuid(0), ==, 0);
}

static void test_truncated(void)
{
    run("for f in qcow2 vmdk vdi vhdx vpc; do cp disk.$f cut.$f; truncate -s 5M cut.$f; done");
    run("cp boot.iso cut.iso; truncate -s 200K cut.iso; cp packed.qcow2 head.qcow2; "
        "truncate -s 100 head.qcow2; cp disk.vdi head.vdi; truncate -s 100 head.vdi");
    run("truncate -s 64M gpt.img; printf 'label: gpt\\n,,\\n' | /sbin/sfdisk -q gpt.img; "
        "truncate -s 64M mbr.img; printf 'label: dos\\n,,\\n' | /sbin/sfdisk -q mbr.img");
    g_autoptr(BhMediaInfo) gpt = accept("gpt.img");
    g_autoptr(BhMediaInfo) mbr = accept("mbr.img");
    run("truncate -s 40M gpt.img mbr.img");
    refuse("gpt.img", BH_ERROR_INVALID, "truncated");
    refuse("mbr.img", BH_ERROR_INVALID, "truncated");
    refuse("cut.iso", BH_ERROR_INVALID, "truncated");
    refuse("cut.qcow2", BH_ERROR_INVALID, "truncated");
    refuse("cut.vmdk", BH_ERROR_INVALID, "truncated");
    refuse("cut.vdi", BH_ERROR_INVALID, "truncated");
    refuse("cut.vhdx", BH_ERROR_INVALID, "truncated");
    /* A VHD's footer is at its end: what is left has the copy at the start. */
    refuse("cut.vpc", BH_ERROR_INVALID, "truncated");
    refuse("head.qcow2", BH_ERROR_INVALID, "truncated");
    refuse("head.vdi", BH_ERROR_INVALID, "truncated");
}

static void test_corrupt(void)
{
    /* The corrupt bit; an L1 table that points into nowhere; a header size of nonsense. */
    run("cp disk.qcow2 marked.qcow2; printf '\\000\\000\\000\\000\\000\\000\\000\\002' | "
        "dd of=marked.qcow2 bs=1 seek=72 conv=notrunc status=none");
    run("cp disk.qcow2 l1.qcow2; printf '\\377\\377\\377\\377\\377\\377\\377\\377' | "
        "dd of=l1.qcow2 bs=1 seek=40 conv=notrunc status=none");
    run("cp disk.qcow2 l2.qcow2; head -c 65536 /dev/urandom | "
        "dd of=l2.qcow2 bs=65536 seek=4 conv=notrunc status=none");
    run("cp disk.qcow2 size.qcow2; printf '\\177\\377\\377\\377\\377\\377\\376\\000' | "
        "dd of=size.qcow2 bs=1 seek=24 conv=notrunc status=none");
    refuse("marked.qcow2", BH_ERROR_INVALID, "qemu-img check");
    refuse("l1.qcow2", BH_ERROR_INVALID, "damaged");
    refuse("l2.qcow2", BH_ERROR_INVALID, "");
    refuse("size.qcow2", BH_ERROR_INVALID, "");
}

/* Images that want other files. None of those may even be opened: a FIFO would hang whoever does.
 */
static void test_foreign_files(void)
{
    run("mkfifo -m 600 trap");
    run("qemu-img create -q -f qcow2 -u -b \"$PWD/trap\" -F raw back.qcow2 16M");
    run("qemu-img create -q -f qcow2 -u -b 'json:{\"driver\":\"raw\",\"file\":{\"driver\":\"file\","
        "\"filename\":\"/etc/passwd\"}}' -F raw json.qcow2 16M");
    run("qemu-img create -q -f qcow2 -u -b 'nbd://127.0.0.1:1/x' -F raw net.qcow2 16M");
    run("qemu-img create -q -f qcow2 -o data_file=data.bin,data_file_raw=on ext.qcow2 16M");
    run("rm data.bin; mkfifo -m 600 data.bin");
    run("qemu-img create -q --object secret,id=s,data=x -f qcow2 "
        "-o encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10 luks.qcow2 16M");
    refuse("back.qcow2", BH_ERROR_INVALID, "backing file");
    refuse("json.qcow2", BH_ERROR_INVALID, "backing file");
    refuse("net.qcow2", BH_ERROR_INVALID, "backing file");
    refuse("ext.qcow2", BH_ERROR_INVALID, "data file");
    refuse("luks.qcow2", BH_ERROR_INVALID, "encrypted");
    /* No tool has looked at them: there is none. */
    g_autofree char *search = g_strdup(g_getenv("PATH"));
    g_setenv("PATH", folder, TRUE);
    refuse("back.qcow2", BH_ERROR_INVALID, "backing file");
    refuse("ext.qcow2", BH_ERROR_INVALID, "data file");
    g_setenv("PATH", search, TRUE);
    /* The same disguised as raw disks. */
    run("cp back.qcow2 back.raw; cp ext.qcow2 ext.img");
    refuse("back.raw", BH_ERROR_INVALID, "backing file");
    refuse("ext.img", BH_ERROR_INVALID, "data file");
}

static void write_vmdk(const char *name, const char *extent, const char *more)
{
    g_autofree char *path = in_folder(name);
    g_autofree char *text =
        g_strdup_printf("# Disk DescriptorFile\nversion=1\nCID=12345678\nparentCID=ffffffff\n"
                        "createType=\"monolithicFlat\"\n%s\n%s\nddb.adapterType = \"ide\"\n",
                        extent, more);

    g_assert_true(g_file_set_contents(path, text, -1, NULL));
}

static void test_vmdk_extents(void)
{
    g_autofree char *absolute = g_strdup_printf("RW 32768 FLAT \"%s/disk.raw\" 0", folder);

    write_vmdk("good.vmdk", "RW 32768 FLAT \"disk.raw\" 0", "");
    g_autoptr(BhMediaInfo) info = accept("good.vmdk");
    g_assert_cmpuint(info->virtual_size, ==, 16 * MIB);
    run("ln -s /etc/passwd link.raw");
    const char *const bad[] = {
        absolute,
        "RW 32768 FLAT \"../x/disk.raw\" 0",
        "RW 1 FLAT \"/etc/passwd\" 0",
        "RW\n1\nFLAT\n\"/etc/passwd\" 0",
        "RW\t1 FLAT\t\"/etc/passwd\" 0",
        "RW 1 FLAT \"nbd:localhost:1\" 0",
        "RW 1 FLAT \"link.raw\" 0",
        "RW 1 FLAT \"gone.raw\" 0",
        "RW 1 FLAT \"dir\" 0",
        "RW 1 SPARSE \"..\"",
        "RW 32768 FLAT \"disk.raw\" 0\rRW 1 FLAT \"/x\"",
    };
    for (gsize i = 0; i < G_N_ELEMENTS(bad); i++) {
        write_vmdk("bad.vmdk", bad[i], "");
        refuse("bad.vmdk", BH_ERROR_INVALID, "needs a different file");
    }
    write_vmdk("bad.vmdk", "RW 32768 FLAT \"disk.raw\" 1", "");
    refuse("bad.vmdk", BH_ERROR_INVALID, "truncated");
    write_vmdk("bad.vmdk", "RW -1 FLAT \"disk.raw\" 0", "");
    refuse("bad.vmdk", BH_ERROR_INVALID, "");
    write_vmdk("child.vmdk", "RW 32768 FLAT \"disk.raw\" 0", "parentFileNameHint=\"/etc/passwd\"");
    refuse("child.vmdk", BH_ERROR_INVALID, "needs a different file");
    /* A sparse header without capacity makes QEMU read the embedded text like a descriptor file. */
    write_vmdk("inner.txt", "RW 1 FLAT \"/etc/passwd\" 0", "");
    run("(printf 'KDMV\\001\\000\\000\\000'; head -c 20 /dev/zero; "
        "printf "
        "'\\001\\000\\000\\000\\000\\000\\000\\000\\024\\000\\000\\000\\000\\000\\000\\000'; "
        "head -c 468 /dev/zero; cat inner.txt; head -c 20000 /dev/zero) >embedded.vmdk");
    refuse("embedded.vmdk", BH_ERROR_INVALID, "needs a different file");
}

static void test_import_formats(void)
{
    const char *const names[] = {"disk.raw",  "disk.qcow2",   "disk.vmdk", "disk.vdi",
                                 "disk.vhdx", "packed.qcow2", "good.vmdk"};

    run("mkdir -p in");
    for (gsize i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(BhJob) job = bh_job_new("Import", NULL);
        g_assert_true(import_job(names[i], "in/out 🐧.qcow2", 0, job, &error));
        g_assert_no_error(error);
        run("qemu-img compare -q -f raw -F qcow2 disk.raw 'in/out 🐧.qcow2'");
        run("test $(stat -c %%a 'in/out 🐧.qcow2') = 600; rm 'in/out 🐧.qcow2'");
    }
    g_assert_cmpuint(count_debris("in"), ==, 0);
}

static void test_import_sizes(void)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(BhMediaInfo) info = NULL;

    g_assert_false(import_job("disk.qcow2", "in/s.qcow2", 8 * MIB, NULL, &error));
    g_assert_error(error, BH_ERROR, BH_ERROR_INVALID);
    g_assert_nonnull(strstr(error->message, "smaller"));
    g_clear_error(&error);
    g_assert_false(import_job("boot.iso", "in/s.qcow2", 0, NULL, &error));
    g_assert_error(error, BH_ERROR, BH_ERROR_INVALID);
    g_clear_error(&error);
    g_assert_false(exists("in/s.qcow2"));
    g_assert_true(import_job("disk.qcow2", "in/s.qcow2", 100 * MIB + 1, NULL, &error));
    g_assert_no_error(error);
    info = accept("in/s.qcow2");
    g_assert_cmpuint(info->virtual_size, ==, 100 * MIB + 512);
}

static void test_never_replaces(void)
{
    g_autoptr(GError) error = NULL;

    run("echo precious >in/mine.qcow2");
    g_assert_false(import_job("disk.qcow2", "in/mine.qcow2", 0, NULL, &error));
    g_assert_error(error, BH_ERROR, BH_ERROR_EXISTS);
    g_clear_error(&error);
    g_assert_false(create("in/mine.qcow2", 16 * MIB, &error));
    g_assert_error(error, BH_ERROR, BH_ERROR_EXISTS);
    run("test \"$(cat in/mine.qcow2)\" = precious");
    g_assert_cmpuint(count_debris("in"), ==, 0);
}

/* Appears between the check and the end of the copy. */
static void test_commit_race(void)
{
    g_auto(BhPartFile) part = {.fd = -1};
    g_autoptr(GError) error = NULL;
    g_autofree char *sub = in_folder("in"), *target = in_folder("in/race.qcow2");

    g_assert_true(bh_part_file_create(&part, sub, &error));
    run("echo precious >in/race.qcow2");
    g_assert_false(bh_part_file_commit(&part, target, &error));
    g_assert_error(error, BH_ERROR, BH_ERROR_EXISTS);
    bh_part_file_clear(&part);
    run("test \"$(cat in/race.qcow2)\" = precious");
    g_assert_cmpuint(count_debris("in"), ==, 0);
}

static void test_create(void)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(BhMediaInfo) info = NULL;

    g_assert_true(create("new folder/empty.qcow2", 64 * MIB, &error));
    g_assert_no_error(error);
    info = accept("new folder/empty.qcow2");
    g_assert_cmpuint(info->virtual_size, ==, 64 * MIB);
    g_assert_false(create("new folder/zero.qcow2", 0, &error));
    g_assert_error(error, BH_ERROR, BH_ERROR_INVALID);
    g_clear_error(&error);
    g_assert_false(create("new folder/huge.qcow2", G_MAXUINT64, &error));
    g_assert_error(error, BH_ERROR, BH_ERROR_INVALID);
    g_assert_false(exists("new folder/zero.qcow2"));
    g_assert_cmpuint(count_debris("new folder"), ==, 0);
}

static void test_no_write_permission(void)
{
    g_autoptr(GError) error = NULL;

    g_assert_false(create("text.iso/x.qcow2", 16 * MIB, &error));
    g_assert_true(g_error_matches(error, BH_ERROR, BH_ERROR_NOT_FOUND) ||
                  g_error_matches(error, BH_ERROR, BH_ERROR_FAILED));
    g_clear_error(&error);
    run("mkdir -p readonly; chmod 555 readonly");
    if (geteuid() == 0) {
        /* Root may write anywhere; a file system that takes no files at all refuses it too. */
        Wait wait = {g_main_loop_new(NULL, FALSE), NULL};
        bh_image_create_async("/proc/self/x.qcow2", 16 * MIB, NULL, on_done, &wait);
        g_assert_false(bh_image_create_finish(wait_for(&wait), &error));
        g_object_unref(wait.result);
        g_assert_nonnull(strstr(error->message, "/proc/self"));
        return;
    }
    g_assert_false(create("readonly/x.qcow2", 16 * MIB, &error));
    g_assert_error(error, BH_ERROR, BH_ERROR_PERMISSION);
}

static gboolean cancel_soon(gpointer data)
{
    bh_job_cancel(data);
    return G_SOURCE_REMOVE;
}

static void on_notify(BhJob *job, GParamSpec *spec, guint *count)
{
    *count += bh_job_get_fraction(job) > 0 && bh_job_get_fraction(job) < 1;
}

/* Cancelled at the first sign of progress. */
static void on_progress_cancel(BhJob *job, GParamSpec *spec, gpointer data)
{
    if (bh_job_get_fraction(job) > 0)
        cancel_soon(job);
}

static void test_progress_and_cancel(void)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(BhJob) job = bh_job_new("Import", NULL), stopped = bh_job_new("Import", NULL);
    guint steps = 0;

    wrap_qemu_img(SLOWLY);
    g_signal_connect(stopped, "notify::fraction", G_CALLBACK(on_progress_cancel), NULL);
    g_assert_false(import_job("disk.raw", "in/cancelled.qcow2", 0, stopped, &error));
    wrap_qemu_img(NULL);
    g_assert_error(error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
    g_clear_error(&error);
    g_assert_false(exists("in/cancelled.qcow2"));
    g_assert_cmpuint(count_debris("in"), ==, 0);
    g_signal_connect(job, "notify::fraction", G_CALLBACK(on_notify), &steps);
    run("head -c 200M /dev/urandom >big.raw");
    g_assert_true(import_job("big.raw", "in/big.qcow2", 0, job, &error));
    g_assert_no_error(error);
    g_test_message("%u steps of progress", steps);
    run("rm in/big.qcow2 big.raw");
}

static void test_cancelled_before(void)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(BhJob) job = bh_job_new("Import", NULL);

    bh_job_cancel(job);
    g_assert_false(import_job("disk.qcow2", "in/never.qcow2", 0, job, &error));
    g_assert_error(error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
    g_assert_false(exists("in/never.qcow2"));
}

/* A live child of a process, or 0. */
static int find_child(int parent)
{
    g_autoptr(GDir) dir = g_dir_open("/proc", 0, NULL);
    const char *name;

    while (dir && (name = g_dir_read_name(dir))) {
        g_autofree char *path = g_build_filename("/proc", name, "stat", NULL), *text = NULL;
        const char *end;
        char state;
        int ppid;
        if (!g_ascii_isdigit(*name) || !g_file_get_contents(path, &text, NULL, NULL))
            continue;
        end = strrchr(text, ')');
        if (end && sscanf(end, ") %c %d", &state, &ppid) == 2 && ppid == parent && state != 'Z')
            return atoi(name);
    }
    return 0;
}

static gboolean is_alive(int pid)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/stat", pid), *text = NULL;

    if (!g_file_get_contents(path, &text, NULL, NULL))
        return FALSE;
    return !strstr(text, ") Z ");
}

/* A process that is killed in the middle of an import: its child dies with it, and the next import
 * removes what it left; one that is still at work is left alone. */
static void test_killed(void)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *sub = in_folder("in"), *busy = in_folder("in/.bulkhead-1-0000abcd.part");
    g_autofree char *self_path = g_file_read_link("/proc/self/exe", NULL);
    const char *argv[] = {self_path, "--import", folder, NULL};
    GPid pid = 0;
    int child = 0;
    int fd = open(busy, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    g_assert_cmpint(flock(fd, LOCK_EX), ==, 0);
    g_spawn_async(NULL, (char **)argv, NULL, G_SPAWN_DO_NOT_REAP_CHILD, NULL, NULL, &pid, &error);
    g_assert_no_error(error);
    for (int i = 0; i < 2000 && count_debris("in") < 2; i++)
        g_usleep(10000);
    g_assert_cmpuint(count_debris("in"), ==, 2);
    for (int i = 0; i < 2000 && !(child = find_child(pid)); i++)
        g_usleep(1000);
    g_assert_cmpint(child, !=, 0);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    for (int i = 0; i < 5000 && is_alive(child); i++)
        g_usleep(1000);
    g_assert_false(is_alive(child));
    g_assert_cmpuint(count_debris("in"), ==, 2);
    g_assert_true(import_job("packed.qcow2", "in/after.qcow2", 0, NULL, &error));
    g_assert_no_error(error);
    g_assert_cmpuint(count_debris("in"), ==, 1);
    g_assert_true(exists("in/.bulkhead-1-0000abcd.part"));
    close(fd);
    g_assert_cmpint(unlink(busy), ==, 0);
}

/* The program again, as the process that gets killed. */
static int import_until_killed(const char *where)
{
    folder = g_strdup(where);
    wrap_qemu_img(SLOWLY);
    import_job("disk.raw", "in/killed.qcow2", 0, NULL, NULL);
    return 0;
}

/* Passes the check before, and finds the disk full in the middle: something else filled it. */
static void fill_up_during_copy(void)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *fill =
        g_strdup_printf("test $1 = convert && head -c 8M /dev/zero >%s/full/fill", folder);

    run("umount full; mount -t tmpfs -o size=12m none full");
    wrap_qemu_img(fill);
    g_assert_false(import_job("disk.raw", "full/c.qcow2", 0, NULL, &error));
    wrap_qemu_img(NULL);
    g_assert_error(error, BH_ERROR, BH_ERROR_NO_SPACE);
    g_assert_nonnull(strstr(error->message, "needed"));
    g_assert_nonnull(strstr(bh_error_get_detail(error), "No space left"));
    g_assert_cmpuint(count_debris("full"), ==, 0);
    g_assert_false(exists("full/c.qcow2"));
}

/* In a mount namespace of its own: a file system of 3 MiB, once too small from the start, once
 * filled up during the copy. Run by test_disk_full through "unshare". */
static int import_to_full_disk(const char *where)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *text = NULL;

    folder = g_strdup(where);
    run("mkdir -p full && mount -t tmpfs -o size=3m none full");
    g_assert_false(import_job("disk.raw", "full/a.qcow2", 0, NULL, &error));
    g_assert_error(error, BH_ERROR, BH_ERROR_NO_SPACE);
    text = bh_error_to_text(error);
    g_assert_nonnull(strstr(text, "needed"));
    g_assert_nonnull(strstr(text, "free"));
    g_assert_cmpuint(count_debris("full"), ==, 0);
    g_assert_false(exists("full/a.qcow2"));
    g_clear_error(&error);
    fill_up_during_copy();
    run("rm -f full/*; head -c 12188K /dev/zero >full/fill");
    g_assert_false(create("full/b.qcow2", 1024 * MIB, &error));
    g_assert_error(error, BH_ERROR, BH_ERROR_NO_SPACE);
    g_assert_cmpuint(count_debris("full"), ==, 0);
    g_assert_false(exists("full/b.qcow2"));
    return 0;
}

static void test_disk_full(void)
{
    g_autofree char *self_path = g_file_read_link("/proc/self/exe", NULL);
    const char *argv[] = {"unshare", "-rm", self_path, "--full", folder, NULL};
    const char *probe[] = {"unshare", "-rm", "true", NULL};
    g_autofree char *errors = NULL;
    int status = -1;

    if (!g_spawn_sync(NULL, (char **)probe, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL, &errors,
                      &status, NULL) ||
        status != 0) {
        g_test_skip("no private mount namespaces here");
        return;
    }
    g_clear_pointer(&errors, g_free);
    g_assert_true(g_spawn_sync(NULL, (char **)argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL,
                               &errors, &status, NULL));
    if (status != 0)
        g_error("%s", errors);
}

/* The disk fills up only while qemu-img writes: seen as its error, not by the check before. */
static void test_write_error(void)
{
    BhChildResult result = {.status = 256, .output = (char *)""};
    g_autoptr(GError) error = NULL, busy = NULL;

    result.errors = (char *)"qemu-img: error while writing at byte 4096: No space left on device";
    error = bh_qemu_img_error(&result, "/x/y.raw");
    g_assert_error(error, BH_ERROR, BH_ERROR_NO_SPACE);
    g_assert_cmpstr(bh_error_get_detail(error), ==, result.errors);
    result.errors = (char *)"qemu-img: Could not open 'x': Failed to get shared \"write\" lock";
    busy = bh_qemu_img_error(&result, "/x/y.raw");
    g_assert_error(busy, BH_ERROR, BH_ERROR_BUSY);
}

static void test_no_qemu_img(void)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *path = g_strdup(g_getenv("PATH"));

    g_setenv("PATH", folder, TRUE);
    g_assert_null(inspect("disk.qcow2", &error));
    g_setenv("PATH", path, TRUE);
    g_assert_error(error, BH_ERROR, BH_ERROR_NOT_SUPPORTED);
    g_assert_nonnull(strstr(bh_error_get_hint(error), "qemu-utils"));
}

static void test_child_limits(void)
{
    const char *const sleeper[] = {"sh", "-c", "sleep 60 & sleep 60", NULL};
    const char *const talker[] = {"sh", "-c", "yes", NULL};
    const char *const closer[] = {"sh", "-c", "exec >&- 2>&-; sleep 0.2; exit 7", NULL};
    g_auto(BhChildResult) slept = {0}, talked = {0}, closed = {0};
    BhChildLimits limits = {.timeout_ms = 200};
    gint64 start = g_get_monotonic_time();

    g_assert_true(bh_child_run(sleeper, &limits, NULL, &slept, NULL));
    g_assert_true(slept.timed_out);
    limits = (BhChildLimits){.max_output = 1000};
    g_assert_true(bh_child_run(talker, &limits, NULL, &talked, NULL));
    g_assert_true(talked.too_long);
    g_assert_false(bh_child_succeeded(&talked));
    g_assert_cmpuint(talked.output_length, <=, 1000);
    g_assert_true(bh_child_run(closer, NULL, NULL, &closed, NULL));
    g_assert_cmpint(WEXITSTATUS(closed.status), ==, 7);
    g_assert_cmpint(g_get_monotonic_time() - start, <, 30 * G_USEC_PER_SEC);
}

static void add_tests(void)
{
    g_test_add_func("/image/formats", test_formats);
    g_test_add_func("/image/iso", test_iso);
    g_test_add_func("/image/iso-variants", test_iso_variants);
    g_test_add_func("/image/variants", test_variants);
    g_test_add_func("/image/names", test_names);
    g_test_add_func("/image/not-images", test_not_images);
    g_test_add_func("/image/no-permission", test_no_permission);
    g_test_add_func("/image/truncated", test_truncated);
    g_test_add_func("/image/corrupt", test_corrupt);
    g_test_add_func("/image/foreign-files", test_foreign_files);
    g_test_add_func("/image/vmdk-extents", test_vmdk_extents);
    g_test_add_func("/image/import-formats", test_import_formats);
    g_test_add_func("/image/import-sizes", test_import_sizes);
    g_test_add_func("/image/never-replaces", test_never_replaces);
    g_test_add_func("/image/commit-race", test_commit_race);
    g_test_add_func("/image/create", test_create);
    g_test_add_func("/image/no-write-permission", test_no_write_permission);
    g_test_add_func("/image/progress-and-cancel", test_progress_and_cancel);
    g_test_add_func("/image/cancelled-before", test_cancelled_before);
    g_test_add_func("/image/killed", test_killed);
    g_test_add_func("/image/disk-full", test_disk_full);
    g_test_add_func("/image/write-error", test_write_error);
    g_test_add_func("/image/no-qemu-img", test_no_qemu_img);
    g_test_add_func("/image/child-limits", test_child_limits);
}

int main(int argc, char **argv)
{
    g_autoptr(GError) error = NULL;
    int status;

    g_setenv("LC_ALL", "C.UTF-8", TRUE);
    if (argc == 3 && strcmp(argv[1], "--import") == 0)
        return import_until_killed(argv[2]);
    if (argc == 3 && strcmp(argv[1], "--full") == 0)
        return import_to_full_disk(argv[2]);
    g_test_init(&argc, &argv, NULL);
    folder = g_dir_make_tmp("bulkhead-image-XXXXXX", &error);
    g_assert_no_error(error);
    make_images();
    add_tests();
    status = g_test_run();
    run("chmod -R u+rwx . && rm -rf \"%s\"", folder);
    return status;
}

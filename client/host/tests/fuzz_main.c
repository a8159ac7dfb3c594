/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Stands in for libFuzzer where the compiler has none: runs a fuzz target over the files of the
 * folders named on the command line, each whole, cut short and mutated in a fixed way.
 */
#include <glib.h>
#include <string.h>

#define MUTATIONS 300

int LLVMFuzzerTestOneInput(const guint8 *data, gsize size);

static void run_mutated(GRand *rand, const guint8 *data, gsize size)
{
    g_autofree guint8 *copy = g_memdup2(data, size);
    guint changes = (guint)g_rand_int_range(rand, 1, 8);

    for (guint i = 0; i < changes; i++)
        copy[g_rand_int_range(rand, 0, (gint32)size)] = (guint8)g_rand_int_range(rand, 0, 256);
    LLVMFuzzerTestOneInput(copy, size);
}

static void run_file(GRand *rand, const char *path)
{
    g_autofree char *text = NULL;
    gsize size = 0;

    if (!g_file_get_contents(path, &text, &size, NULL))
        g_error("cannot read %s", path);
    LLVMFuzzerTestOneInput((const guint8 *)text, size);
    for (gsize cut = 0; cut < size; cut += 1 + size / 64)
        LLVMFuzzerTestOneInput((const guint8 *)text, cut);
    for (guint i = 0; size && i < MUTATIONS; i++)
        run_mutated(rand, (const guint8 *)text, size);
}

int main(int argc, char **argv)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(1);
    guint count = 0;

    for (int i = 1; i < argc; i++) {
        g_autoptr(GDir) dir = g_dir_open(argv[i], 0, NULL);
        const char *name;
        while (dir && (name = g_dir_read_name(dir))) {
            g_autofree char *path = g_build_filename(argv[i], name, NULL);
            run_file(rand, path);
            count++;
        }
    }
    LLVMFuzzerTestOneInput((const guint8 *)"", 0);
    g_print("%u files\n", count);
    return 0;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reads a PVH kernel: an ELF (64 or 32 bits) with the note XEN_ELFNOTE_PHYS32_ENTRY (elfnote.h). Pure. The loader has
 * looked at it before; here every offset is checked again, for a file that is wrong must end in a message.
 */
#include <hv/dom0.h>
#include <hv/lib.h>

#define PT_LOAD 1
#define PT_NOTE 4
#define NOTE_PHYS32_ENTRY 18
#define MACHINE_X86_64 62
#define MACHINE_386 3
#define MAX_HEADERS 64

/* A program header in either class. */
struct header {
    uint32_t type;
    uint64_t offset, physical, file_size, memory_size;
};

struct reader {
    const uint8_t *image;
    uint64_t size;
    bool wide;
};

static uint64_t field(const struct reader *r, uint64_t at, unsigned size)
{
    uint64_t value = 0;
    if (at <= r->size && size <= r->size - at)
        memcpy(&value, r->image + at, size);
    return value;
}

static struct header read_header(const struct reader *r, uint64_t at)
{
    struct header h = { .type = field(r, at, 4) };
    if (r->wide) {
        h.offset = field(r, at + 8, 8);
        h.physical = field(r, at + 24, 8);
        h.file_size = field(r, at + 32, 8);
        h.memory_size = field(r, at + 40, 8);
    } else {
        h.offset = field(r, at + 4, 4);
        h.physical = field(r, at + 12, 4);
        h.file_size = field(r, at + 16, 4);
        h.memory_size = field(r, at + 20, 4);
    }
    return h;
}

/* Notes: name size, value size, type, name and value each padded to 4 bytes. */
static void read_notes(const struct reader *r, const struct header *h, struct dom0_kernel *out)
{
    uint64_t end = h->offset + h->file_size;
    for (uint64_t at = h->offset; at + 12 <= end;) {
        uint64_t name = field(r, at, 4), value = field(r, at + 4, 4), type = field(r, at + 8, 4);
        uint64_t value_at = at + 12 + ROUND_UP(name, 4), next = value_at + ROUND_UP(value, 4);
        if (next > end)
            return;
        if (type == NOTE_PHYS32_ENTRY && name == 4 && field(r, at + 12, 4) == 0x006e6558 && (value == 4 || value == 8))
            out->entry = field(r, value_at, value);
        at = next;
    }
}

static bool add_segment(const struct header *h, struct dom0_kernel *out)
{
    if (!h->memory_size)
        return true;
    if (out->nr_segments == DOM0_SEGMENTS || h->file_size > h->memory_size || h->physical > GIB(4) ||
        h->memory_size > GIB(4) - h->physical)
        return false;
    out->segment[out->nr_segments++] = (struct dom0_segment){ h->physical, h->memory_size, h->offset, h->file_size };
    out->start = MIN(out->start, h->physical);
    out->end = MAX(out->end, h->physical + h->memory_size);
    return true;
}

static int fail(const char **why, const char *text)
{
    *why = text;
    return -EINVAL;
}

int dom0_read_kernel(const uint8_t *image, uint64_t size, struct dom0_kernel *out, const char **why)
{
    struct reader r = { image, size, size > 5 && image[4] == 2 };
    memset(out, 0, sizeof(*out));
    out->start = ~0ull;
    if (size < 64 || field(&r, 0, 4) != 0x464c457f)
        return fail(why, "it is not an ELF file");
    uint64_t machine = field(&r, 18, 2);
    if (machine != (r.wide ? MACHINE_X86_64 : MACHINE_386))
        return fail(why, "it is made for another processor");
    uint64_t table = field(&r, r.wide ? 32 : 28, r.wide ? 8 : 4);
    uint64_t step = field(&r, r.wide ? 54 : 42, 2), count = field(&r, r.wide ? 56 : 44, 2);
    if (step < (r.wide ? 56 : 32) || count > MAX_HEADERS || table > size || step * count > size - table)
        return fail(why, "its program headers lie outside of the file");
    for (uint64_t i = 0; i < count; i++) {
        struct header h = read_header(&r, table + i * step);
        if (h.type != PT_LOAD && h.type != PT_NOTE)
            continue;
        if (h.offset > size || h.file_size > size - h.offset)
            return fail(why, "it is cut short");
        if (h.type == PT_NOTE)
            read_notes(&r, &h, out);
        else if (!add_segment(&h, out))
            return fail(why, "it has segments that cannot be loaded");
    }
    if (!out->entry)
        return fail(why, "it has no PVH entry point");
    if (out->entry < out->start || out->entry >= out->end)
        return fail(why, "its entry point lies outside of it");
    return 0;
}

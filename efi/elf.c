/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Both classes of ELF become one `struct segment`, read by a function that knows where the file ends; all checks are
 * made on these copies. System V ABI, chapters 4 and 5; the note is described in Xen's public/elfnote.h.
 */
#include "elf.h"

#define UNPACK_IT "Unpack it: bulkhead-install does so, as does scripts/extract-vmlinux of Linux."
#define COPY_AGAIN "Copy the file again: it seems to be damaged."

#define MAX_SEGMENTS 64
#define PT_LOAD 1
#define PT_NOTE 4
#define EM_386 3
#define EM_X86_64 62
#define NOTE_PHYS32_ENTRY 18

struct elf_header64 {
    uint8_t ident[16];
    uint16_t type, machine;
    uint32_t version;
    uint64_t entry, segments, sections;
    uint32_t flags;
    uint16_t header_size, segment_size, nr_segments, section_size, nr_sections, names;
};
_Static_assert(sizeof(struct elf_header64) == 64, "Elf64_Ehdr");

struct elf_header32 {
    uint8_t ident[16];
    uint16_t type, machine;
    uint32_t version, entry, segments, sections, flags;
    uint16_t header_size, segment_size, nr_segments, section_size, nr_sections, names;
};
_Static_assert(sizeof(struct elf_header32) == 52, "Elf32_Ehdr");

struct elf_segment64 {
    uint32_t type, flags;
    uint64_t offset, virtual, physical, size, memory, align;
};
_Static_assert(sizeof(struct elf_segment64) == 56, "Elf64_Phdr");

struct elf_segment32 {
    uint32_t type, offset, virtual, physical, size, memory, flags, align;
};
_Static_assert(sizeof(struct elf_segment32) == 32, "Elf32_Phdr");

struct elf_note {
    uint32_t name_size, data_size, type;
};

struct file {
    const uint8_t *data;
    uint64_t size;
    bool wide;
    uint64_t entry, segments;
    unsigned int nr_segments, machine;
};

static bool fits(uint64_t at, uint64_t n, uint64_t size)
{
    return at <= size && n <= size - at;
}

/* What is it, if it is no ELF file. */
static bool explain(const struct file *f, struct trouble *t)
{
    const uint8_t *d = f->data;

    if (f->size == 0)
        return trouble_set(t, COPY_AGAIN, "It is empty.");
    if (f->size > 0x206 && !memcmp(d + 0x202, "HdrS", 4))
        return trouble_set(t, UNPACK_IT, "It is a packed kernel (bzImage), not an ELF file.");
    if (f->size > 4 && ((d[0] == 0x1f && d[1] == 0x8b) || !memcmp(d, "\3757zX", 4) ||
                        !memcmp(d, "\x28\xb5\x2f\xfd", 4) || !memcmp(d, "\x02\x21\x4c\x18", 4)))
        return trouble_set(t, UNPACK_IT, "It is packed (gzip, xz, zstd or lz4), not an ELF file.");
    return trouble_set(t, "Name an unpacked Linux kernel (vmlinux).", "It is not an ELF file.");
}

/* The header, copied into `f`. */
static bool open_elf(struct file *f, const void *data, uint64_t size, struct trouble *t)
{
    struct elf_header64 h = {0};
    struct elf_header32 h32;
    unsigned int segment_size;

    f->data = data;
    f->size = size;
    if (size < 16 || memcmp(data, "\177ELF", 4))
        return explain(f, t);
    f->wide = f->data[4] == 2;
    if (size < (f->wide ? sizeof(h) : sizeof(h32)))
        return trouble_set(t, COPY_AGAIN, "It ends within its header.");
    if (f->wide) {
        memcpy(&h, data, sizeof(h));
    } else {
        memcpy(&h32, data, sizeof(h32));
        h.machine = h32.machine;
        h.entry = h32.entry;
        h.segments = h32.segments;
        h.segment_size = h32.segment_size;
        h.nr_segments = h32.nr_segments;
    }
    segment_size = f->wide ? sizeof(struct elf_segment64) : sizeof(struct elf_segment32);
    if (f->data[5] != 1 || (f->data[4] != 1 && !f->wide) || (h.machine != EM_X86_64 && h.machine != EM_386))
        return trouble_set(t, "Use a kernel for x86-64.", "It is an ELF file of another kind of processor.");
    if (h.nr_segments == 0 || h.nr_segments > MAX_SEGMENTS || h.segment_size != segment_size)
        return trouble_set(t, "Name an unpacked Linux kernel (vmlinux).", "It is an ELF file without a program in it.");
    if (!fits(h.segments, (uint64_t)h.nr_segments * segment_size, size))
        return trouble_set(t, COPY_AGAIN, "It ends within its program headers.");
    f->entry = h.entry;
    f->segments = h.segments;
    f->nr_segments = h.nr_segments;
    f->machine = h.machine;
    return true;
}

static struct elf_segment64 get_segment(const struct file *f, unsigned int i)
{
    struct elf_segment64 s;
    struct elf_segment32 n;

    if (f->wide) {
        memcpy(&s, f->data + f->segments + i * sizeof(s), sizeof(s));
        return s;
    }
    memcpy(&n, f->data + f->segments + i * sizeof(n), sizeof(n));
    return (struct elf_segment64){.type = n.type,
                                  .flags = n.flags,
                                  .offset = n.offset,
                                  .virtual = n.virtual,
                                  .physical = n.physical,
                                  .size = n.size,
                                  .memory = n.memory,
                                  .align = n.align};
}

static bool check_segment(const struct file *f, const struct elf_segment64 *s, struct trouble *t)
{
    if (!fits(s->offset, s->size, f->size))
        return trouble_set(t, COPY_AGAIN, "It is cut short: %llu bytes, of which a segment needs %llu.",
                           (unsigned long long)f->size, (unsigned long long)s->offset + s->size);
    if (s->type == PT_LOAD && (s->size > s->memory || s->physical + s->memory < s->physical))
        return trouble_set(t, COPY_AGAIN, "A segment has impossible sizes.");
    return true;
}

/* Looks for the PVH note in one PT_NOTE segment; true when it is there, and then *entry is set. */
static bool find_note(const struct file *f, const struct elf_segment64 *s, uint64_t *entry)
{
    const uint64_t align = s->align == 8 ? 8 : 4, end = s->offset + s->size;
    struct elf_note note;
    uint64_t at = s->offset, name, data;

    while (fits(at, sizeof(note), end)) {
        memcpy(&note, f->data + at, sizeof(note));
        name = at + sizeof(note);
        data = name + ((note.name_size + align - 1) & ~(align - 1));
        if (!fits(data, note.data_size, end))
            return false;
        if (note.type == NOTE_PHYS32_ENTRY && note.name_size == 4 && !memcmp(f->data + name, "Xen", 4) &&
            (note.data_size == 4 || note.data_size == 8)) {
            *entry = 0;
            memcpy(entry, f->data + data, note.data_size);
            return true;
        }
        at = data + ((note.data_size + align - 1) & ~(align - 1));
    }
    return false;
}

bool elf_check_kernel(const void *file, uint64_t size, struct elf_kernel *kernel, struct trouble *t)
{
    bool has_note = false, inside = false;
    struct file f;

    if (!open_elf(&f, file, size, t))
        return false;
    kernel->start = ~0ull;
    kernel->end = 0;
    for (unsigned int i = 0; i < f.nr_segments; i++) {
        struct elf_segment64 s = get_segment(&f, i);

        if ((s.type == PT_LOAD || s.type == PT_NOTE) && !check_segment(&f, &s, t))
            return false;
        if (s.type == PT_LOAD && s.memory) {
            kernel->start = s.physical < kernel->start ? s.physical : kernel->start;
            kernel->end = s.physical + s.memory > kernel->end ? s.physical + s.memory : kernel->end;
        }
        has_note = has_note || (s.type == PT_NOTE && find_note(&f, &s, &kernel->entry));
    }
    if (!has_note)
        return trouble_set(t, "Use a Linux kernel built with CONFIG_PVH, as Debian's are.",
                           "It has no PVH entry (no XEN_ELFNOTE_PHYS32_ENTRY note).");
    for (unsigned int i = 0; i < f.nr_segments; i++) {
        struct elf_segment64 s = get_segment(&f, i);

        inside = inside || (s.type == PT_LOAD && kernel->entry >= s.physical && kernel->entry < s.physical + s.memory);
    }
    if (!inside || kernel->end > 1ull << 32)
        return trouble_set(t, COPY_AGAIN, "Its PVH entry 0x%llx is outside of it, or it ends above 4 GiB (0x%llx).",
                           (unsigned long long)kernel->entry, (unsigned long long)kernel->end);
    return true;
}

bool elf_check_image(const void *file, uint64_t size, uint64_t base, uint64_t max, struct elf_image *image,
                     struct trouble *t)
{
    const char *remedy = "This loader was built wrongly: build and install it again.";
    uint64_t end = base;
    struct file f;

    if (!open_elf(&f, file, size, t))
        return false;
    for (unsigned int i = 0; i < f.nr_segments; i++) {
        struct elf_segment64 s = get_segment(&f, i);

        if (s.type != PT_LOAD || s.memory == 0)
            continue;
        if (!check_segment(&f, &s, t))
            return false;
        if (s.virtual < end || !fits(s.virtual - base, s.memory, max))
            return trouble_set(t, remedy, "A segment lies at 0x%llx, not where the hypervisor belongs.",
                               (unsigned long long)s.virtual);
        end = s.virtual + s.memory;
    }
    image->size = (end - base + 4095) & ~4095ull;
    image->entry = f.entry;
    if (!f.wide || f.machine != EM_X86_64 || f.entry < base || f.entry >= end)
        return trouble_set(t, remedy, "The hypervisor's entry 0x%llx is outside of it.", (unsigned long long)f.entry);
    return true;
}

void elf_place(const void *file, uint64_t base, const struct elf_image *image, void *to)
{
    struct trouble unused;
    struct file f;

    memset(to, 0, image->size);
    if (!open_elf(&f, file, ~0ull >> 1, &unused))
        return;
    for (unsigned int i = 0; i < f.nr_segments; i++) {
        struct elf_segment64 s = get_segment(&f, i);

        if (s.type == PT_LOAD && s.memory)
            memcpy((uint8_t *)to + (s.virtual - base), f.data + s.offset, s.size);
    }
}

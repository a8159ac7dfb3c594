/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Headers are copied from the file by functions that know where it ends, and all checks are made on the copies. System
 * V ABI, chapters 4 and 5; the note is described in Xen's public/elfnote.h.
 */
#include "pure.h"

#define UNPACK_IT "Unpack it: bulkhead-install does so, as does scripts/extract-vmlinux of Linux."
#define COPY_AGAIN "Copy the file again: it seems to be damaged."
#define NAME_KERNEL "Name an unpacked Linux kernel for x86-64 (vmlinux)."

#define MAX_SEGMENTS 64
#define PT_LOAD 1
#define PT_NOTE 4
#define EM_X86_64 62
#define NOTE_PHYS32_ENTRY 18
#define FOUR_GIB (1ull << 32)

struct elf_header {
    uint8_t ident[16];
    uint16_t type, machine;
    uint32_t version;
    uint64_t entry, segments, sections;
    uint32_t flags;
    uint16_t header_size, segment_size, nr_segments, section_size, nr_sections, names;
};
_Static_assert(sizeof(struct elf_header) == 64, "Elf64_Ehdr");

struct elf_segment {
    uint32_t type, flags;
    uint64_t offset, virtual, physical, size, memory, align;
};
_Static_assert(sizeof(struct elf_segment) == 56, "Elf64_Phdr");

struct elf_note {
    uint32_t name_size, data_size, type;
    char name[4];
};
_Static_assert(sizeof(struct elf_note) == 16, "Elf64_Nhdr and the name 'Xen'");

static bool fits(uint64_t at, uint64_t n, uint64_t size)
{
    return at <= size && n <= size - at;
}

/* What is it, if it is no ELF file. */
static bool explain(const uint8_t *d, uint64_t size, struct trouble *t)
{
    if (size > 0x206 && (!memcmp(d + 0x202, "HdrS", 4) || !memcmp(d, "\x1f\x8b", 2) || !memcmp(d, "\3757zX", 4) ||
                         !memcmp(d, "\x28\xb5\x2f\xfd", 4) || !memcmp(d, "\x02\x21\x4c\x18", 4)))
        return trouble_set(t, UNPACK_IT, "It is packed (bzImage, gzip, xz, zstd or lz4), not an ELF file.");
    return trouble_set(t, NAME_KERNEL, "It is not an ELF file.");
}

static bool read_header(const uint8_t *file, uint64_t size, struct elf_header *h, struct trouble *t)
{
    static const uint8_t start[] = {0x7f, 'E', 'L', 'F', 2, 1}; /* 64 bits, little-endian */

    if (size < 4 || memcmp(file, start, 4))
        return explain(file, size, t);
    memcpy(h, file, size < sizeof(*h) ? size : sizeof(*h));
    if (size < sizeof(*h) || !fits(h->segments, h->nr_segments * sizeof(struct elf_segment), size))
        return trouble_set(t, COPY_AGAIN, "It ends within its headers.");
    if (memcmp(h->ident, start, sizeof(start)) || h->machine != EM_X86_64 || h->nr_segments > MAX_SEGMENTS ||
        h->segment_size != sizeof(struct elf_segment))
        return trouble_set(t, NAME_KERNEL, "It is an ELF file, but no program for x86-64.");
    return true;
}

/* Looks for the PVH note between two places in the file. */
static void read_notes(const uint8_t *file, uint64_t at, uint64_t end, struct boot_kernel *kernel)
{
    struct elf_note note;

    /* Names and values are padded to 4 bytes each; the sizes have 32 bits, so the sums below cannot overflow. */
    while (fits(at, sizeof(note), end)) {
        uint64_t data = at + 12, next;

        memcpy(&note, file + at, sizeof(note));
        data += (note.name_size + 3ull) & ~3ull;
        next = data + ((note.data_size + 3ull) & ~3ull);
        if (!fits(data, note.data_size, end))
            return;
        if (note.type == NOTE_PHYS32_ENTRY && note.name_size == 4 && !memcmp(note.name, "Xen", 4) &&
            (note.data_size == 4 || note.data_size == 8)) {
            kernel->entry = 0;
            memcpy(&kernel->entry, file + data, note.data_size);
        }
        at = next;
    }
}

static bool add_segment(const uint8_t *file, const struct elf_segment *s, struct boot_kernel *kernel)
{
    if (s->memory == 0)
        return true;
    if (s->size > s->memory || !fits(s->physical, s->memory, FOUR_GIB) || kernel->nr_segments == BOOT_SEGMENTS)
        return false;
    kernel->segment[kernel->nr_segments++] =
        (struct boot_segment){s->physical, s->memory, (uint64_t)(uintptr_t)file + s->offset, s->size};
    kernel->start = s->physical < kernel->start ? s->physical : kernel->start;
    kernel->end = s->physical + s->memory > kernel->end ? s->physical + s->memory : kernel->end;
    return true;
}

bool elf_read_kernel(const void *file, uint64_t size, struct boot_kernel *kernel, struct trouble *t)
{
    struct elf_header h;
    struct elf_segment s;

    *kernel = (struct boot_kernel){.start = ~0ull};
    if (!read_header(file, size, &h, t))
        return false;
    for (unsigned int i = 0; i < h.nr_segments; i++) {
        memcpy(&s, (const uint8_t *)file + h.segments + i * sizeof(s), sizeof(s));
        if (s.type != PT_LOAD && s.type != PT_NOTE)
            continue;
        if (!fits(s.offset, s.size, size))
            return trouble_set(t, COPY_AGAIN, "It is cut short: %llu bytes, of which a segment needs %llu.",
                               (unsigned long long)size, (unsigned long long)s.offset + s.size);
        if (s.type == PT_NOTE)
            read_notes(file, s.offset, s.offset + s.size, kernel);
        else if (!add_segment(file, &s, kernel))
            return trouble_set(t, COPY_AGAIN, "It has segments that cannot be loaded.");
    }
    if (!kernel->entry)
        return trouble_set(t, "Use a Linux kernel built with CONFIG_PVH, as Debian's are.",
                           "It has no PVH entry (no XEN_ELFNOTE_PHYS32_ENTRY note).");
    if (kernel->entry < kernel->start || kernel->entry >= kernel->end)
        return trouble_set(t, COPY_AGAIN, "Its PVH entry is outside of it.");
    return true;
}

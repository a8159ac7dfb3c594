/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See fake_metal.h. Whatever of the machine a pure room asks for and a test does not provide itself. */
#include "fake_metal.h"

#include <hv/acpi.h>
#include <hv/frame.h>
#include <hv/log.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

uintptr_t hv_direct_map;
_Atomic uint64_t fake_now;
_Atomic unsigned fake_kicks[256];
_Thread_local unsigned fake_cpu;
unsigned fake_nr_cpus = 4;
uint64_t fake_alarm;
uint8_t fake_pci[256][4096];
unsigned fake_flushes;

/* A table for 64 GiB of address space, untouched pages cost nothing. */
#define TABLE_FRAMES (GIB(64) >> PAGE_SHIFT)
static struct frame table[TABLE_FRAMES] __attribute__((aligned(4096)));
struct frame *const hv_frame_table = table;

__attribute__((weak)) int frame_add_ram(paddr_t start, paddr_t end) { return 0; }

uint32_t frame_refs(mfn_t m)
{
    uint64_t state = table[m.n].state;
    return state >> 63 ? 0 : (uint32_t)state;
}

void fake_metal_init(unsigned ram_mib)
{
    void *ram = mmap(NULL, MIB(ram_mib), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK(ram != MAP_FAILED);
    hv_direct_map = (uintptr_t)ram;
    CHECK(frame_add_ram(MIB(1), MIB(ram_mib)) == 0);
}

void fake_fail(const char *file, int line, const char *what)
{
    fprintf(stderr, "%s:%d: %s\n", file, line, what);
    abort();
}

void hv_bug(const char *file, int line, const char *what) { fake_fail(file, line, what); }

void metal_back_frame_table(uint64_t chunk, paddr_t at) {}
__attribute__((weak)) void zero_page(void *page) { memset(page, 0, PAGE_SIZE); }
__attribute__((weak)) const void *acpi_map(paddr_t at, size_t size) { return NULL; }
uint64_t metal_now(void) { return fake_now; }
_Atomic uint64_t hv_epoch = 1700000000ull * 1000000000;
unsigned metal_cpu(void) { return fake_cpu; }
unsigned metal_nr_cpus(void) { return fake_nr_cpus; }
void metal_kick(unsigned cpu) { fake_kicks[cpu]++; }
void metal_set_alarm(uint64_t when) { fake_alarm = when; }
void metal_flush_p2m(struct domain *d) { fake_flushes++; }

uint32_t metal_pci_read(uint32_t sbdf, unsigned reg, unsigned size)
{
    uint32_t value = ~0u;
    if (sbdf < 256 && reg + size <= 4096)
        memcpy(&value, &fake_pci[sbdf][reg], size);
    return size == 4 ? value : value & ((1u << (8 * size)) - 1);
}

void metal_pci_write(uint32_t sbdf, unsigned reg, unsigned size, uint32_t value)
{
    if (sbdf < 256 && reg + size <= 4096)
        memcpy(&fake_pci[sbdf][reg], &value, size);
}

uint32_t metal_port_read(uint16_t port, unsigned size) { return ~0u; }
void metal_port_write(uint16_t port, unsigned size, uint32_t value) {}

static void say(const char *format, va_list args)
{
    if (!getenv("HV_TEST_VERBOSE"))
        return;
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
}

void log_line(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    say(format, args);
    va_end(args);
}

void log_guest(struct domain *d, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    say(format, args);
    va_end(args);
}

void panic(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    abort();
}

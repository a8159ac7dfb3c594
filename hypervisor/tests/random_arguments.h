/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What random_hypercalls.c makes its arguments of: numbers that are worth a try, frames and memory of this program's
 * own, and pages for structures with nothing readable behind them. All of it belongs to one process with one seed.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <xen/xen.h>

#define PAGE 4096ul
#define POOL 64             /* pages of ours whose frames may come and go */
#define FAR_GFN (1ul << 30) /* guest-physical addresses where nothing is but what we put there */
#define FAR_PAGES 2048ul    /* so many from there on */
#define NOWHERE (1ul << 41) /* beyond any guest-physical address */
#define SLOTS 32            /* structures a call: a page each, and behind it one without access */
#define SLOTS_SIZE (SLOTS * 2 * PAGE)
#define SCRATCH (16 * PAGE) /* what calls may write to */
#define PORTS 32            /* ours at a time */
#define LIST 32             /* elements of a list */
#define MULTICALL 6

struct args {
    uint64_t a[5];
};

static int privcmd;
static uint64_t pool[POOL], kernel_text, max_pages, nr_cpus, state, deadline_base;
static char *slots, *scratch;
static unsigned used_slots;
static uint32_t ports[PORTS], handles[8];
static unsigned nr_ports;
static bool in_multicall;

static void die(const char *what)
{
    perror(what);
    exit(1);
}

/* --- numbers ------------------------------------------------------------------------------------------------------ */

static uint64_t next(void) /* xorshift64* */
{
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return state * 0x2545f4914f6cdd1dul;
}

static uint64_t below(uint64_t n) { return next() % n; }
static bool one_in(unsigned n) { return !below(n); }
static uint64_t pick(const uint64_t *from, size_t count) { return from[below(count)]; }
#define PICK(...) pick((const uint64_t[]){ __VA_ARGS__ }, sizeof((const uint64_t[]){ __VA_ARGS__ }) / sizeof(uint64_t))

/* Addresses whose first byte cannot be read. */
static uint64_t no_pointer(void)
{
    return PICK(0, 8, (uintptr_t)slots + PAGE, (uintptr_t)slots + PAGE + below(PAGE), 0x7fffffffffff, 0x800000000000,
                0xffff800000000000, 0xffff800000000000 + below(1ul << 42), 0xffffc00000000000 + below(1ul << 40), ~0ul,
                ~0ul - below(64), next() | 1ul << 62, 1ul << 63);
}

/* Where results of a call may go, or fail to. */
static uint64_t out_pointer(void)
{
    if (one_in(4))
        return one_in(2) ? no_pointer() : kernel_text + below(PAGE);
    return (uintptr_t)scratch + (one_in(3) ? SCRATCH - below(64) : below(SCRATCH));
}

static uint64_t word(void)
{
    switch (below(9)) {
    case 0: return below(4);
    case 1: return below(64);
    case 2: return 0;
    case 3: return ~0ul - below(3);
    case 4: return (1ul << below(64)) - below(3);
    case 5: return next();
    case 6: return PICK(DOMID_SELF, DOMID_IO, DOMID_XEN, DOMID_INVALID, DOMID_FIRST_RESERVED, 0x7fffffff, 0x80000000);
    default: return out_pointer();
    }
}

static void fill(void *to, size_t size)
{
    for (size_t i = 0; i < size; i += sizeof(uint64_t)) {
        uint64_t w = word();
        memcpy((char *)to + i, &w, size - i < sizeof(w) ? size - i : sizeof(w));
    }
}

static domid_t self_or_other(void) { return PICK(0, DOMID_SELF, DOMID_SELF, below(DOMID_FIRST_RESERVED), next()); }
static domid_t other(void) { return PICK(1 + below(DOMID_FIRST_RESERVED - 1), 5, DOMID_IO, DOMID_XEN, DOMID_INVALID); }
static uint64_t no_vcpu(void) { return PICK(nr_cpus, nr_cpus + below(200), 128, ~0ul, 1ul << 32 | 500); }
static uint64_t some_vcpu(void) { return one_in(8) ? no_vcpu() : below(nr_cpus); }
static uint64_t far_gfn(void) { return FAR_GFN + below(FAR_PAGES); }
static uint64_t no_gfn(void) { return PICK(NOWHERE, ~0ul, next() | NOWHERE, FAR_GFN * 2 + below(1000)); }

/* Frames that may be put in, taken out, moved and mapped over. */
static uint64_t our_gfn(void) { return one_in(8) ? no_gfn() : one_in(3) ? far_gfn() : pool[below(POOL)]; }

/* Soon or in the past, in the hypervisor's time. */
static uint64_t soon(void) { return one_in(4) ? 1 + below(1000) : deadline_base + below(30000000); }

/* --- memory for arguments ----------------------------------------------------------------------------------------- */

/* Copies a structure to where nothing readable is behind it; its address. */
static uint64_t place(const void *what, size_t size)
{
    if (one_in(16) || used_slots == SLOTS || size > PAGE)
        return no_pointer();
    char *end = slots + 2 * PAGE * used_slots++ + PAGE;
    memcpy(end - size, what, size);
    return (uintptr_t)end - (one_in(64) && size >= 2 ? 1 : size); /* 1: all but its first byte cannot be read */
}

/* A list of numbers, or of nothing. */
static uint64_t place_list(uint64_t (*number)(void), uint64_t *count)
{
    uint64_t list[LIST], n = 1 + below(LIST);
    for (unsigned i = 0; i < n; i++)
        list[i] = number();
    *count = one_in(16) ? word() : n; /* what is behind the list cannot be read */
    return place(list, n * sizeof(list[0]));
}

#define SET_HANDLE(handle, address) ((handle).p = (void *)(uintptr_t)(address))

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Nested page tables (APM2 15.25): the long-mode format of the host, walked with user rights, so each entry has U set.
 *
 * The p2m's type of a leaf is in bits 55:52, which the processor leaves to software. Accessed and dirty are set from
 * the start, so that the processor never writes to an entry and entries can be compared.
 */
#include "hvm.h"

#define NPT_P BIT(0)
#define NPT_W BIT(1)
#define NPT_U BIT(2)
#define NPT_PWT BIT(3)
#define NPT_PCD BIT(4)
#define NPT_A BIT(5)
#define NPT_D BIT(6)
#define NPT_LARGE BIT(7)
#define NPT_NX BIT(63)

#define NPT_LEAF (NPT_P | NPT_U | NPT_A | NPT_D)

static uint8_t largest = 2;

void npt_init(bool gigabyte) { largest = gigabyte ? 3 : 2; }

/* PWT and PCD select entry 3 of the host's PAT, which is uncached (APM2 15.25.8: the stricter of both sides counts). */
const struct p2m_codec npt_codec = {
    .rights = {
        [P2M_RAM] = NPT_LEAF | NPT_W,
        [P2M_RAM_RO] = NPT_LEAF,
        [P2M_MMIO] = NPT_LEAF | NPT_W | NPT_NX | NPT_PWT | NPT_PCD,
        [P2M_GRANT_RW] = NPT_LEAF | NPT_W | NPT_NX,
        [P2M_GRANT_RO] = NPT_LEAF | NPT_NX,
        [P2M_FOREIGN] = NPT_LEAF | NPT_W | NPT_NX,
        [P2M_XENHEAP] = NPT_LEAF | NPT_W | NPT_NX,
    },
    .table = NPT_P | NPT_W | NPT_U | NPT_A,
    .present = NPT_P,
    .large = NPT_LARGE,
    .type_shift = 52,
    .largest = &largest,
};

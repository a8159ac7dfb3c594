/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A domain of two vCPUs with a board, for the tests of the board's devices: what they ask of other rooms, and a guest's
 * accesses. */
#pragma once

#include "fake_metal.h"

#include <hv/domain.h>
#include <hv/frame.h>
#include <hv/irq.h>
#include <hv/vdev.h>
#include <stdlib.h>

uint64_t hv_tsc_khz = 2000000;
static struct domain dom;
static struct vcpu cpus[2];

void vcpu_kick(struct vcpu *v, uint32_t work) { atomic_fetch_or(&v->work, work); }
void *page_alloc(void) { return calloc(1, PAGE_SIZE); }
void page_free(void *page) { free(page); }
int irq_bind_gsi(unsigned gsi, bool level, bool active_low, unsigned vcpu) { return 0; }
void irq_unbind_gsi(unsigned gsi) {}
void irq_mask_gsi(unsigned gsi, bool masked) {}
void irq_gsi_eoi(unsigned gsi) {}

static void fresh(void)
{
    vplatform_free(&dom);
    dom.max_vcpus = 2;
    for (unsigned i = 0; i < 2; i++) {
        if (cpus[i].lapic)
            vlapic_free(&cpus[i]);
        cpus[i] = (struct vcpu){ .id = i, .domain = &dom };
        dom.vcpu[i] = &cpus[i];
        CHECK(vlapic_init(&cpus[i]) == 0 && vlapic_write(&cpus[i], 0xf0, 0x1ff));
    }
    CHECK(vplatform_init(&dom, 48) == 0);
}

static void mmio_write(uint64_t at, unsigned size, uint64_t value)
{
    CHECK(vplatform_mmio(&cpus[0], at, size, true, &value));
}

static uint64_t mmio_read(uint64_t at, unsigned size)
{
    uint64_t value = 0x1234567;
    CHECK(vplatform_mmio(&cpus[0], at, size, false, &value));
    return value;
}

/* Input `gsi`: edge, vector 0x40 + gsi, to CPU 0. */
static void listen(unsigned gsi)
{
    mmio_write(VIOAPIC_BASE, 4, 0x10 + gsi * 2);
    mmio_write(VIOAPIC_BASE + 0x10, 4, 0x40 + gsi);
}

/* The interrupt of `gsi` came (and is done with). */
static bool got(unsigned gsi)
{
    if (vlapic_pending(&cpus[0]) != (int)(0x40 + gsi))
        return false;
    vlapic_acknowledge(&cpus[0], 0x40 + gsi);
    vlapic_eoi(&cpus[0]);
    return true;
}

static void out(uint16_t port, uint8_t byte)
{
    uint32_t value = byte;
    CHECK(vplatform_port(&cpus[0], port, 1, false, &value));
}

static uint8_t in(uint16_t port)
{
    uint32_t value = ~0u;
    CHECK(vplatform_port(&cpus[0], port, 1, true, &value) && value < 256);
    return value;
}

static void done(void)
{
    vplatform_free(&dom);
    for (unsigned i = 0; i < 2; i++)
        vlapic_free(&cpus[i]);
}

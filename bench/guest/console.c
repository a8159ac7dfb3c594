/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "console.h"

#include "text.h"
#include "x86.h"
#include "xen.h"

#include <xen/io/console.h>

#define COM1 0x3f8
#define LINE_STATUS_FREE 0x20
#define SPINS_MAX 20000000u /* bound of one wait */

static bool com1, debug_port, hypervisor;
static struct xencons_interface *ring;
static uint32_t ring_port;

void console_use_com1(void)
{
    port_out8(COM1 + 7, 0x5a);
    if (port_in8(COM1 + 7) != 0x5a)
        return;
    port_out8(COM1 + 1, 0);
    port_out8(COM1 + 3, 0x80);
    port_out8(COM1 + 0, 1);
    port_out8(COM1 + 1, 0);
    port_out8(COM1 + 3, 3);
    port_out8(COM1 + 2, 7);
    com1 = true;
}

void console_use_debug_port(void)
{
    debug_port = true;
}

bool console_use_xen(void)
{
    uint64_t pfn, port;

    /* Only a control domain may write there; nothing is written. */
    hypervisor = hypercall(__HYPERVISOR_console_io, CONSOLEIO_write, 0, 0) == 0;
    if (hypervisor)
        return true;
    if (xen_param_get(HVM_PARAM_CONSOLE_PFN, &pfn) ||
        xen_param_get(HVM_PARAM_CONSOLE_EVTCHN, &port))
        return false;
    if (!pfn || pfn >= 1u << 20)
        return false;
    ring = (struct xencons_interface *)(uintptr_t)(pfn * PAGE_SIZE);
    ring_port = (uint32_t)port;
    return true;
}

static void com1_put(char c)
{
    for (unsigned i = 0; i < SPINS_MAX / 1000; i++)
        if (port_in8(COM1 + 5) & LINE_STATUS_FREE)
            break;
    port_out8(COM1, (uint8_t)c);
}

static bool ring_wait(uint32_t free)
{
    for (unsigned i = 0; i < SPINS_MAX; i++) {
        uint32_t used = ring->out_prod - __atomic_load_n(&ring->out_cons, __ATOMIC_ACQUIRE);

        if (used + free <= sizeof(ring->out))
            return true;
        cpu_pause();
    }
    return false;
}

static void ring_put(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (!ring_wait(1)) {
            ring = NULL;
            return;
        }
        ring->out[ring->out_prod % sizeof(ring->out)] = text[i];
        __atomic_store_n(&ring->out_prod, ring->out_prod + 1, __ATOMIC_RELEASE);
    }
    xen_send(ring_port);
}

static void put(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (debug_port)
            port_out8(0xe9, (uint8_t)text[i]);
        if (com1 && text[i] == '\n')
            com1_put('\r');
        if (com1)
            com1_put(text[i]);
    }
    if (hypervisor)
        hypercall(__HYPERVISOR_console_io, CONSOLEIO_write, len, (uintptr_t)text);
    if (ring)
        ring_put(text, len);
}

void console_print(const char *format, ...)
{
    char line[400];
    va_list args;
    size_t len;

    va_start(args, format);
    len = text_format(line, sizeof(line), format, args);
    va_end(args);
    put(line, len);
}

void console_drain(void)
{
    if (ring)
        ring_wait(sizeof(ring->out));
}

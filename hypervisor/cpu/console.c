/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The console: a 16550 serial line (com1 or com2, none: off) and a ring of what was said, for `xl dmesg`.
 *
 * Lock: console_lock (LOCK_CONSOLE) for line, ring and input. A crash or an NMI, which may come while its own CPU holds
 * it, goes without (console_force).
 * Input belongs to the control domain; three Ctrl-A switch it to the hypervisor's debug keys and back (debugkeys.c).
 */
#include "apic.h"
#include "cpu.h"
#include "x86.h"

#include <hv/domain.h>
#include <hv/evtchn.h>
#include <hv/lib.h>
#include <hv/log.h>
#include <hv/machine.h>
#include <hv/metal.h>

#include <stdarg.h>
#include <xen/xen.h>

#define RING_SIZE 65536u
#define INPUT_SIZE 256u
#define SWITCH_KEY 1 /* Ctrl-A */
#define LOG_GUEST_BURST 20
#define COM1 0x3f8
#define COM2 0x2f8

enum {
    UART_DATA = 0,
    UART_IER = 1,
    UART_FCR = 2,
    UART_LCR = 3,
    UART_MCR = 4,
    UART_LSR = 5,
    LSR_READY = 1,
    LSR_EMPTY = 0x20
};

static spinlock_t console_lock = SPINLOCK(LOCK_CONSOLE);
static _Atomic unsigned forced; /* how many want no lock */
static uint16_t uart;           /* 0: none */
static char ring[RING_SIZE];
static uint32_t ring_end;   /* counts all characters ever */
static uint32_t ring_start; /* of what is kept */
static char input[INPUT_SIZE];
static uint32_t input_head, input_tail;
static unsigned switch_keys;
static bool keys_are_ours, input_on;

static bool console_take(void)
{
    if (load_relaxed(&forced))
        return false;
    spin_lock(&console_lock);
    return true;
}

static void console_drop(bool taken)
{
    if (taken)
        spin_unlock(&console_lock);
}

void console_force(bool on) { on ? forced++ : forced--; }

static void uart_put(char c)
{
    if (!uart)
        return;
    /* A line that never drains (no such chip) must not stop us. */
    for (unsigned i = 0; i < 100000 && !(inb(uart + UART_LSR) & LSR_EMPTY); i++)
        cpu_relax();
    outb(uart + UART_DATA, c);
}

static void put(char c)
{
    if (c == '\n')
        uart_put('\r');
    uart_put(c);
    ring[ring_end++ % RING_SIZE] = c;
    if (ring_end - ring_start > RING_SIZE)
        ring_start = ring_end - RING_SIZE;
}

void console_resume(void)
{
    if (!uart)
        return;
    outb(uart + UART_LCR, 0x80); /* 115,200 baud */
    outb(uart + UART_DATA, 1);
    outb(uart + UART_IER, 0);
    outb(uart + UART_LCR, 0x03); /* 8n1 */
    outb(uart + UART_FCR, 0x07);
    outb(uart + UART_MCR, 0x0b);
    outb(uart + UART_IER, input_on);
}

void console_init(const char *options)
{
    uart = option_is(options, "console", "com1", true) ? COM1 : option_is(options, "console", "com2", false) ? COM2 : 0;
    if (uart && inb(uart + UART_LSR) == 0xff)
        uart = 0;
    hv_machine.console_port = uart;
    console_resume();
}

void log_line(const char *format, ...)
{
    char text[448];
    uint64_t us = metal_now() / 1000;
    size_t n = snprintf(text, sizeof(text), "(bh) [%4lu.%06lu] ", us / 1000000, us % 1000000);
    va_list args;
    va_start(args, format);
    vsnprintf(text + n, sizeof(text) - n, format, args);
    va_end(args);
    bool taken = console_take();
    for (const char *c = text; *c; c++)
        put(*c);
    put('\n');
    console_drop(taken);
}

void log_guest(struct domain *d, const char *format, ...)
{
    uint64_t now = metal_now();
    if (!d->log_since || now - d->log_since > 1000000000) {
        if (d->log_lost)
            log_line("d%u: %lu lines were left out", d->id, d->log_lost);
        d->log_since = now;
        d->log_lost = 0;
        d->log_budget = LOG_GUEST_BURST;
    }
    if (!d->log_budget) {
        d->log_lost++;
        return;
    }
    d->log_budget--;
    char text[300];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    log_line("d%u: %s", d->id, text);
}

/* What a domain prints goes out as it is; only the control domain's has no rate limit. */
void console_guest_write(struct domain *d, const char *text, size_t length)
{
    bool taken = console_take();
    for (size_t i = 0; i < length; i++)
        if (text[i] == '\n' || text[i] == '\r' || text[i] == '\t' || text[i] == '\033' || (uint8_t)text[i] >= ' ')
            put(text[i]);
    console_drop(taken);
}

size_t console_read(char *to, size_t size)
{
    size_t count = 0;
    bool taken = console_take();
    while (count < size && input_tail != input_head)
        to[count++] = input[input_tail++ % INPUT_SIZE];
    console_drop(taken);
    return count;
}

size_t log_ring_read(char *to, size_t size, uint32_t *index, bool clear, bool incremental)
{
    size_t count = 0;
    bool taken = console_take();
    uint32_t at = incremental && *index - ring_start <= ring_end - ring_start ? *index : ring_start;
    while (count < size && at != ring_end)
        to[count++] = ring[at++ % RING_SIZE];
    *index = at;
    if (clear)
        ring_start = at;
    console_drop(taken);
    return count;
}

static void receive(char c)
{
    switch_keys = c == SWITCH_KEY ? switch_keys + 1 : 0;
    if (switch_keys == 3) {
        switch_keys = 0;
        keys_are_ours = !keys_are_ours;
        log_line("Keys now go to %s (Ctrl-A three times switches).",
                 keys_are_ours ? "the hypervisor; h lists them" : "domain 0");
        return;
    }
    if (keys_are_ours) {
        console_debug_key(c);
        return;
    }
    bool taken = console_take();
    if (input_head - input_tail < INPUT_SIZE)
        input[input_head++ % INPUT_SIZE] = c;
    console_drop(taken);
    if (hv_control_domain)
        evtchn_virq(hv_control_domain, 0, VIRQ_CONSOLE);
}

void console_poll(void)
{
    for (unsigned i = 0; uart && i < INPUT_SIZE && (inb(uart + UART_LSR) & LSR_READY); i++)
        receive(inb(uart + UART_DATA));
}

void console_enable_input(void)
{
    if (!uart || irq_route_isa(uart == COM1 ? 4 : 3, VECTOR_SERIAL))
        return;
    input_on = true;
    console_resume();
}

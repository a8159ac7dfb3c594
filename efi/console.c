/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Every message goes to the screen and to the serial line. Where the firmware's own console is on the serial line
 * already, a second copy would only garble it; elsewhere the first 16550 is written to, where every PC has it, for
 * firmware has a driver for it only where it has a console there.
 */
#include "loader.h"

#define COM1 0x3f8
#define LCR_DLAB 0x80
#define LCR_8N1 3
#define LSR_EMPTY 0x20
#define PATIENCE 100000u /* reads of a port, about 0.1 s: a line nobody drains must not stop the machine */

static bool has_uart;

static void out8(uint16_t port, uint8_t value)
{
    __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static uint8_t in8(uint16_t port)
{
    uint8_t value;

    __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

/* Whether a 16550 answers: its scratch register keeps what it is given. */
static bool uart_open(void)
{
    out8(COM1 + 7, 0x5a);
    if (in8(COM1 + 7) != 0x5a)
        return false;
    out8(COM1 + 3, LCR_DLAB | LCR_8N1);
    out8(COM1 + 0, 1); /* 115200 baud */
    out8(COM1 + 1, 0);
    out8(COM1 + 3, LCR_8N1);
    out8(COM1 + 1, 0); /* no interrupts */
    out8(COM1 + 2, 7); /* FIFOs on and empty */
    out8(COM1 + 4, 3); /* DTR, RTS */
    return true;
}

static void uart_put(char c)
{
    for (unsigned int i = 0; i < PATIENCE && !(in8(COM1 + 5) & LSR_EMPTY); i++)
        ;
    out8(COM1, (uint8_t)c);
}

void console_open(void)
{
    has_uart = !firmware_serial_console() && uart_open();
}

void print(const char *format, ...)
{
    static char text[2304];
    static efi_char wide[2 * sizeof(text)];
    size_t used = 0;
    va_list list;

    va_start(list, format);
    vsnprintf(text, sizeof(text), format, list);
    va_end(list);
    for (const char *c = text; *c; c++) {
        if (*c == '\n')
            wide[used++] = '\r';
        wide[used++] = (efi_char)*c;
    }
    wide[used] = 0;
    if (fw->out)
        fw->out->print(fw->out, wide);
    for (size_t i = 0; has_uart && i < used; i++)
        uart_put((char)wide[i]);
}

bool console_key(void)
{
    struct efi_key key;

    return fw->in && fw->in->read_key(fw->in, &key) == EFI_SUCCESS;
}

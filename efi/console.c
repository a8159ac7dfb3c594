/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Every message goes to the screen and to the serial line. Where the firmware's own console is on the serial line
 * already, a second copy would only garble it; elsewhere the firmware's serial driver is used, or without one the
 * first 16550 itself, where every PC had it.
 */
#include "loader.h"

#define COM1 0x3f8
#define LCR_DLAB 0x80
#define LCR_8N1 3
#define LSR_EMPTY 0x20
#define PATIENCE 100000u /* reads of a port, about 0.1 s: a line nobody drains must not stop the machine */

static const struct efi_guid serial_guid = EFI_SERIAL_IO;
static struct efi_serial *serial;
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
    out8(COM1 + 1, 0);
    out8(COM1 + 3, LCR_DLAB | LCR_8N1);
    out8(COM1 + 0, 1); /* 115200 baud */
    out8(COM1 + 1, 0);
    out8(COM1 + 3, LCR_8N1);
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
    if (firmware_serial_console())
        return;
    if (boot_services->locate_protocol(&serial_guid, NULL, (void **)&serial) != EFI_SUCCESS)
        serial = NULL;
    has_uart = !serial && uart_open();
}

void print(const char *format, ...)
{
    static char text[2304];
    static efi_char wide[sizeof(text) * 2];
    static char bytes[sizeof(wide) / sizeof(*wide)];
    uint64_t used = 0;
    va_list list;

    va_start(list, format);
    text_format_list(text, sizeof(text), format, list);
    va_end(list);
    for (const char *c = text; *c; c++) {
        if (*c == '\n')
            bytes[used++] = '\r';
        bytes[used++] = *c;
    }
    for (uint64_t i = 0; i < used; i++)
        wide[i] = (efi_char)bytes[i];
    wide[used] = 0;
    if (fw->out)
        fw->out->print(fw->out, wide);
    for (uint64_t i = 0; has_uart && i < used; i++)
        uart_put(bytes[i]);
    if (serial)
        serial->write(serial, &used, bytes);
}

bool console_key(struct efi_key *key)
{
    return fw->in && fw->in->read_key(fw->in, key) == EFI_SUCCESS;
}

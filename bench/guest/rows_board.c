/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Group board: devices of a PC's board, only where ACPI says they are (a PVH domain has none).
 *   ioapic_read    IOAPIC by MMIO: the data window, version register selected
 *   hpet_read      HPET main counter, low half, by MMIO
 *   pic_read       IN 0x21, the mask of the first 8259
 *   pic_write      OUT 0x21, everything masked
 *   pit_read       IN 0x40, counter 0
 *   port61_read    IN 0x61, PIT channel 2 gate and output
 *   pm_timer_read  32-bit IN of the ACPI timer FADT names
 *   port80_write   OUT 0x80, the diagnostic port (Xen lets it through without an exit)
 *   rtc_read       IN 0x71, index 0x0d selected before
 */
#include "measure.h"
#include "platform.h"
#include "x86.h"

#define IOAPIC_VERSION 1
#define IOAPIC_WINDOW 0x10
#define HPET_COUNTER 0xf0
#define RTC_VALID 0x0d

static int64_t op_ioapic(void)
{
    mmio_read32(platform.ioapic + IOAPIC_WINDOW);
    return 0;
}

static int64_t op_hpet(void)
{
    mmio_read32(platform.hpet + HPET_COUNTER);
    return 0;
}

static int64_t op_pic_read(void)
{
    port_in8(0x21);
    return 0;
}

static int64_t op_pic_write(void)
{
    port_out8(0x21, 0xff);
    return 0;
}

static int64_t op_pit(void)
{
    port_in8(0x40);
    return 0;
}

static int64_t op_port61(void)
{
    port_in8(0x61);
    return 0;
}

static int64_t op_pm_timer(void)
{
    port_in32(platform.pm_timer);
    return 0;
}

static int64_t op_port80(void)
{
    port_out8(0x80, 0);
    return 0;
}

static int64_t op_rtc(void)
{
    port_in8(0x71);
    return 0;
}

static void row_if(bool there, const struct row *row)
{
    if (there)
        measure_row("board", row, NULL);
    else
        measure_skip("board", row->name, "absent");
}

void rows_board(void)
{
    static const struct row ioapic = {"ioapic_read", op_ioapic};
    static const struct row hpet = {"hpet_read", op_hpet};
    static const struct row pm_timer = {"pm_timer_read", op_pm_timer};
    static const struct row legacy[] = {
        {"pic_read", op_pic_read},  {"pic_write", op_pic_write}, {"pit_read", op_pit},
        {"port61_read", op_port61}, {"port80_write", op_port80}, {"rtc_read", op_rtc},
    };

    if (platform.ioapic)
        mmio_write32(platform.ioapic, IOAPIC_VERSION);
    row_if(platform.ioapic, &ioapic);
    row_if(platform.hpet, &hpet);
    row_if(platform.board && platform.pm_timer, &pm_timer);
    if (platform.board)
        port_out8(0x70, RTC_VALID);
    for (unsigned i = 0; i < sizeof(legacy) / sizeof(legacy[0]); i++)
        row_if(platform.board, &legacy[i]);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Group qemu: registers that only the device model serves, in every setting that has one.
 *
 *   port_qemu_fwcfg    IN 0x511, the fw_cfg data port (found by its signature, which is selected)
 *   port_qemu_pcicfg   IN 0xcfc, ID of PCI device 0:0.0 (a hypervisor may keep 0xcf8 to itself)
 *   mmio_qemu          MOV from a register without side effects; device= says of which
 *
 * The MMIO device is the first of: std VGA or bochs-display (BAR2+0x500, display ID), cirrus
 * (BAR1), AHCI (BAR5, CAP), e1000 and e1000e (BAR0+8, STATUS).
 */
#include "measure.h"
#include "platform.h"
#include "x86.h"

#define PCI_ADDRESS 0xcf8
#define PCI_DATA 0xcfc
#define PCI_ENABLE 0x80000000u
#define PCI_COMMAND 4
#define PCI_BAR0 0x10
#define COMMAND_MEMORY 2u
#define FW_CFG_SELECT 0x510
#define FW_CFG_DATA 0x511
#define DEVICES (256u * 32u * 8u)

struct known {
    uint32_t id; /* device << 16 | vendor */
    unsigned bar;
    uint32_t offset;
    const char *note;
};

static const struct known known[] = {
    {0x11111234, 2, 0x500, "device=std-vga"}, {0x00b81013, 1, 0, "device=cirrus"},
    {0x29228086, 5, 0, "device=ahci"},        {0x100e8086, 0, 8, "device=e1000"},
    {0x10d38086, 0, 8, "device=e1000e"},
};

static uint32_t mmio_at;

static uint32_t pci_read(uint32_t function, unsigned reg)
{
    port_out32(PCI_ADDRESS, PCI_ENABLE | function << 8 | reg);
    return port_in32(PCI_DATA);
}

/* Bus 0 only: what the machine types put there by default is enough. 0: none found. */
static uint32_t mmio_find(const struct known *k)
{
    for (uint32_t f = 0; f < DEVICES / 256; f++) {
        uint32_t bar;

        if (pci_read(f, 0) != k->id || !(pci_read(f, PCI_COMMAND) & COMMAND_MEMORY))
            continue;
        bar = pci_read(f, PCI_BAR0 + 4 * k->bar);
        if (bar && !(bar & 1))
            return (bar & ~15u) + k->offset;
    }
    return 0;
}

static int64_t op_fwcfg(void)
{
    port_in8(FW_CFG_DATA);
    return 0;
}

static int64_t op_pcicfg(void)
{
    port_in32(PCI_DATA);
    return 0;
}

static int64_t op_mmio(void)
{
    mmio_read16(mmio_at);
    return 0;
}

static bool has_fwcfg(void)
{
    static const char want[] = "QEMU";

    port_out16(FW_CFG_SELECT, 0);
    for (unsigned i = 0; i < 4; i++)
        if (port_in8(FW_CFG_DATA) != want[i])
            return false;
    return true;
}

static void row_mmio(const struct row *row)
{
    for (unsigned i = 0; i < sizeof(known) / sizeof(known[0]) && !mmio_at; i++) {
        mmio_at = mmio_find(&known[i]);
        if (mmio_at)
            measure_row("qemu", row, known[i].note);
    }
    if (!mmio_at)
        measure_skip("qemu", row->name, "no-known-device");
}

void rows_qemu(void)
{
    static const struct row rows[] = {
        {"port_qemu_fwcfg", op_fwcfg},
        {"port_qemu_pcicfg", op_pcicfg},
        {"mmio_qemu", op_mmio},
    };

    if (!platform.board) {
        measure_skip_rows("qemu", rows, 3, "absent");
        return;
    }
    if (has_fwcfg())
        measure_row("qemu", &rows[0], NULL);
    else
        measure_skip("qemu", rows[0].name, "no-fw_cfg");
    pci_read(0, 0);
    measure_row("qemu", &rows[1], NULL);
    row_mmio(&rows[2]);
}

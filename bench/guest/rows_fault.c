/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Group fault, only when named: each row faults on purpose, to see the dump and that the next row
 * still runs.
 *
 *   fault_ud             UD2
 *   fault_gp             a non-canonical address
 *   fault_write_text     a write into the program
 *   fault_execute_data   a call into data (runs through where the CPU has no NX)
 *   fault_stack_guard    a push below the stack: a double fault, which ends the run
 */
#include "measure.h"

extern uint8_t start32[], boot_stack[];
static uint8_t ret_in_data[16] = {0xc3};

static int64_t op_ud(void)
{
    __asm__ volatile("ud2");
    return 0;
}

static int64_t op_gp(void)
{
    __asm__ volatile("movq (%0), %%rax" : : "r"(1ull << 62) : "rax", "memory");
    return 0;
}

static int64_t op_write_text(void)
{
    *(volatile uint8_t *)start32 = 0;
    return 0;
}

static int64_t op_execute_data(void)
{
    __asm__ volatile("call *%0" : : "r"(ret_in_data) : "memory");
    return 0;
}

static int64_t op_stack_guard(void)
{
    __asm__ volatile("movq %0, %%rsp; pushq $0" : : "r"(boot_stack));
    return 0;
}

void rows_fault(void)
{
    static const struct row rows[] = {
        {"fault_ud", op_ud},
        {"fault_gp", op_gp},
        {"fault_write_text", op_write_text},
        {"fault_execute_data", op_execute_data},
        {"fault_stack_guard", op_stack_guard},
    };

    measure_rows("fault", rows, sizeof(rows) / sizeof(rows[0]), NULL);
}

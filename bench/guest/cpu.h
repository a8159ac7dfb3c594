/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Per-vCPU state, exceptions, interrupts, page rights. */
#ifndef BENCH_GUEST_CPU_H
#define BENCH_GUEST_CPU_H

#include <stdbool.h>
#include <stdint.h>

#define CPUS_MAX 2u

/* Interrupt vectors; 0..31 are exceptions, there are stubs up to 63. */
enum { VECTOR_TIMER = 0x30, VECTOR_PING, VECTOR_PONG, VECTOR_XEN, VECTOR_SPURIOUS = 0x3f };

struct trap_frame {
    uint64_t r15, r14, r13, r12, r11, r10, r9, r8, rbp, rdi, rsi, rdx, rcx, rbx, rax;
    uint64_t vector, error, rip, cs, rflags, rsp, ss;
};

/* Written by catch_set() in entry.S, which knows this order. */
struct catch
{
    uint64_t rbx, rbp, r12, r13, r14, r15, rsp, rip;
};

struct cpu {
    struct cpu *self; /* at GS:0 */
    unsigned index;
    struct catch *catch; /* where the next exception goes; NULL: it ends the guest */
    uint64_t last_vector, last_rip;
};

void cpu_init(unsigned index);
struct cpu *cpu_self(void);

int catch_set(struct catch *c) __attribute__((returns_twice));
void irq_handler(unsigned vector, void (*handler)(void));
void trap_handle(struct trap_frame *f);

/* Splits the image into pages: text read-only, data not executable, stack guards absent. */
void paging_protect(void);
/* One page of the low 2 MiB becomes executable and read-only: the trampoline. */
void paging_execute_low(uintptr_t page);

/* Ends the run: prints the end line with the reason, one word, and stops the machine. */
void guest_fail(const char *why) __attribute__((noreturn));
void ap_main(void) __attribute__((noreturn));
void guest_main(uint32_t info) __attribute__((noreturn));

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Hypercalls: the table of doors, and the only ways to guest memory.
 */
#pragma once

#include <hv/types.h>
#include <hv/vcpu.h>

/* One call. `arg` are the guest's registers; a door that is preempted puts what is left to do into them. */
struct hc_call {
    struct vcpu *v;
    struct domain *d;
    uint64_t arg[6];
    uint64_t stop_at; /* hypercall_preempt()'s; 0 at the start */
};

/* Not results of the ABI: the instruction is run again later. AGAIN: preempted (args hold the rest); BLOCK: the vCPU
 * waits and the call returns 0 when it runs again. */
#define HC_AGAIN (-(long)ERESTART)

/* VMMCALL or VMCALL of `v`: checks CPL 0, runs it, sets RAX, moves RIP on unless it shall run again. */
void hypercall_run(struct vcpu *v, unsigned length);
/* Whether a long operation shall stop here: work is waiting for this vCPU, or its time is up (interrupts are off
 * meanwhile). Called between steps. */
bool hypercall_preempt(struct hc_call *c);

/*
 * Copies from and to linear addresses of the vCPU that runs here, through its page tables with the rights of the
 * kernel. 0 or -EFAULT; on a fault part may have been copied. Each structure is read once; only the copy is looked at.
 */
must_check int guest_read(struct vcpu *v, void *to, uint64_t linear, size_t size);
must_check int guest_write(struct vcpu *v, uint64_t linear, const void *from, size_t size);
/* The same within one page of guest-physical memory. */
must_check int guest_write_phys(struct domain *d, gpa_t to, const void *from, size_t size);

enum walk_fault { WALK_OK, WALK_NOT_PRESENT, WALK_DENIED, WALK_NO_MEMORY /* a table outside RAM */ };
enum walk_access { WALK_READ = 0, WALK_WRITE = 1, WALK_FETCH = 2, WALK_USER = 4 };
/* Translates like the processor does (4-level long mode, PAE, 32-bit, none; no A/D updates); on a fault `error` is the
 * page-fault code. */
enum walk_fault guest_walk(struct vcpu *v, uint64_t linear, unsigned access, gpa_t *gpa, uint32_t *error);
/* Fills v->code for the page RIP is in: 64-bit code in RAM, else it stays empty. The page is not referenced: who reads
 * it looks for WORK_FLUSH afterwards. */
void guest_code_page(struct vcpu *v);
/* Instruction bytes at RIP: how many could be read (0 to 15); a fault when the first one cannot. */
unsigned guest_fetch(struct vcpu *v, uint8_t bytes[15], enum walk_fault *fault, uint32_t *error);

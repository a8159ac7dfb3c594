/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A virtual processor: what common code knows of it. The vendor's part (VMCB or VMCS) hangs off `hw` and is
 * reached through hv_ops (hvm/ops.h) only.
 *
 * Who may touch what: while a vCPU runs, its CPU alone touches all but the atomics below. While it is paused or has
 * never run, whoever holds its domain's lock does. Lifetime: that of its domain (domain_get).
 */
#pragma once

#include <hv/list.h>
#include <hv/lock.h>
#include <hv/types.h>

struct domain;
struct vlapic;
struct hw_vcpu;
struct extra_state;

enum reg { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9, R10, R11, R12, R13, R14, R15, NR_REGS };

/* Loaded by each exit and stored by each entry. */
struct regs {
    uint64_t r[NR_REGS]; /* in the order of their encoding */
    uint64_t rip, rflags;
};

struct segment {
    uint16_t selector;
    uint16_t attributes; /* as in a VMCB: type:4 s:1 dpl:2 p:1 avl:1 l:1 db:1 g:1 */
    uint32_t limit;
    uint64_t base;
};

enum seg { SEG_ES, SEG_CS, SEG_SS, SEG_DS, SEG_FS, SEG_GS, SEG_GDTR, SEG_LDTR, SEG_IDTR, SEG_TR, NR_SEGS };

/* The rest of the architectural state, read and written as a whole by hv_ops.state_get/state_put. */
struct vcpu_state {
    struct segment seg[NR_SEGS];
    uint64_t cr4, cr3, cr0, dr7, dr6; /* in the order of a VMCB, as the next two lines */
    uint64_t star, lstar, cstar, sfmask, kernel_gs_base;
    uint64_t sysenter_cs, sysenter_esp, sysenter_eip, cr2;
    uint64_t efer, pat;
    uint8_t cpl;
};

/* How linear addresses are translated now; cheap to get. */
struct vcpu_paging {
    uint64_t cr0, cr3, cr4, efer;
    uint8_t cpl;
    bool long_mode, code64; /* EFER.LMA; and CS.L */
};

/* What a vCPU has to do before it enters the guest again; bits of vcpu.work. */
enum vcpu_work {
    WORK_EVENT = BIT(0),      /* an event channel wants an upcall */
    WORK_LAPIC = BIT(1),      /* its local APIC has something to deliver, or a timer of it ran out */
    WORK_RESCHEDULE = BIT(2), /* the scheduler wants its CPU back */
    WORK_PAUSE = BIT(3),      /* somebody waits for it to stand still */
    WORK_INIT = BIT(4),       /* INIT or SIPI arrived */
    WORK_NMI = BIT(5),
    WORK_FLUSH = BIT(6), /* forget cached translations of the p2m */
    WORK_TIMER = BIT(7), /* its single-shot timer ran out */
};

/* Why a vCPU does not run; 0: it may. Bits of vcpu.blocked. */
enum vcpu_block {
    BLOCK_DOWN = BIT(0),  /* offline: never started, or VCPUOP_down */
    BLOCK_HALT = BIT(1),  /* HLT or SCHEDOP_block: an interrupt or event wakes it */
    BLOCK_POLL = BIT(2),  /* SCHEDOP_poll */
    BLOCK_PAUSE = BIT(3), /* its domain's pause_count > 0 */
    BLOCK_SIPI = BIT(4),  /* after INIT */
    BLOCK_DYING = BIT(5), /* its domain shut down, or is taken apart: it never runs again */
};

enum runstate { RUN_RUNNING, RUN_RUNNABLE, RUN_BLOCKED, RUN_OFFLINE }; /* RUNSTATE_* of the ABI */

struct sched_vcpu {
    struct list queue; /* in a CPU's run queue; that queue's lock */
    uint64_t deadline; /* virtual time: ns of CPU time, weighted */
    enum runstate state;
    uint64_t state_since, state_time[4];
    bool queued;
    _Atomic bool running; /* has a CPU, or is on its way to one; see sched_running() */
};

/* Memory of the guest's that the hypervisor writes to while it is registered; it may reach into a second page. */
struct guest_area {
    gpa_t at[2];
    uint16_t first; /* bytes of it at at[0], the rest is at at[1]; 0: there is none */
};

/* A walk of the guest's 64-bit page tables that succeeded: for what, and the entries it met. As long as they are the
 * same, so is where it led; forgotten by WORK_FLUSH (levels = 0), for where entries are changes with the p2m only. */
struct walk_memo {
    uint64_t page, cr3, efer;
    const _Atomic uint64_t *entry[4];
    uint64_t value[4]; /* from the top */
    unsigned levels;   /* how many; 0: nothing is remembered */
};

/* The page an exit's instruction was in (exit/insn.c); filled by guest_code_page(). */
struct code_page {
    struct walk_memo walk;
    const uint8_t *bytes;
};

struct vcpu {
    struct regs regs;
    struct hw_vcpu *hw;
    struct extra_state *extra; /* FPU, debug registers, TSC_AUX while they are not loaded: hvm/switch.c */
    struct domain *domain;
    unsigned id;
    _Atomic uint32_t work;    /* WORK_*; set by anyone, then metal_kick(); cleared by its own CPU */
    _Atomic uint32_t blocked; /* BLOCK_* */
    _Atomic unsigned cpu;     /* where it runs, or ran last */
    _Atomic bool inside;      /* in the guest now; seq_cst with work: set before work is looked at the last time */

    struct vlapic *lapic;
    struct vcpu_info *info; /* registered (its frame is referenced), in shared info, or own_info; never NULL */
    uint64_t own_info[8];   /* of vCPUs beyond the 32 of shared info, until they register one */
    mfn_t info_mfn;
    struct guest_area runstate_area, time_area;
    uint8_t upcall_vector; /* HVMOP_set_evtchn_upcall_vector; 0: the domain's */
    uint32_t poll_port;    /* SCHEDOP_poll of one port; 0: several or none */

    uint64_t poll_until; /* its timeout, ns; ~0: none */

    uint64_t singleshot;            /* PV timer, ns of metal_now(); ~0: off */
    _Atomic uint32_t virq_port[24]; /* VIRQs, 0: not bound; vCPU 0 has the domain's; changed by ipc/evtchn.c only */

    struct list timer_entry;     /* in the list of a CPU's timers while it does not run; that CPU's timer lock */
    _Atomic uint64_t timer_when; /* ~0: in none */
    unsigned timer_cpu;

    struct sched_vcpu sched;
    _Atomic uint64_t affinity_hard[4], affinity_soft[4]; /* 256 CPUs */

    uint64_t xapic_base, mtrr_def, mtrr_fixed[32], mtrr_var[16];
    uint64_t spec_ctrl; /* what it has in SPEC_CTRL while it is inside */
    int64_t tsc_offset;
    struct code_page code;
    bool initialised;
    struct walk_memo walked; /* of the last copy: hypercalls tend to use one page of their stack */
    bool nmi_waits;          /* until hv_ops.ready() */
    uint8_t sipi_vector;
    uint8_t cr8; /* task priority, in step with the local APIC's TPR; hardware may have changed it at an exit */
};

/* Sets work bits and makes the vCPU see them, wherever it is; wakes it when they end its blocking. Any lock below
 * LOCK_SCHED may be held. */
void vcpu_kick(struct vcpu *v, uint32_t work);
void vcpu_wake(struct vcpu *v, uint32_t blocks /* BLOCK_* to clear */);
/* Blocks the vCPU that runs here, unless work came up meanwhile. The caller then returns to vcpu_loop. */
void vcpu_block(struct vcpu *v, uint32_t block);

/* Timers: when one of the vCPU's (PV, poll, local APIC; for vCPU 0 the platform's too) is due, ~0: never;
 * and raising what is due by `now`. The CPU it runs on, or ran on last when it is blocked, keeps the alarm; on time it
 * kicks the vCPU with WORK_TIMER, and the loop calls vcpu_run_timers(). */
uint64_t vcpu_next_timer(struct vcpu *v);
void vcpu_run_timers(struct vcpu *v, uint64_t now);

/* What the guest is told of time: written when it gets another area or the clock changed. */
void vcpu_update_time(struct vcpu *v);
/* Its runstate area, when it was switched to or away from. */
void vcpu_update_runstate(struct vcpu *v, uint64_t now);

/* Registrations of VCPUOP_*; for areas by linear address `v` is the caller. 0 or -errno. */
must_check int vcpu_register_info(struct vcpu *v, gfn_t g, uint32_t offset);
must_check int vcpu_register_area(struct vcpu *v, struct guest_area *area, uint64_t linear, size_t size);

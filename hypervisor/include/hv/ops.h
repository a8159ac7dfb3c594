/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The vendor interface: what SVM and VMX do differently. One const table, chosen once at boot (`hv`). Rule: an op moves
 * state or decodes, it never decides; policy is in exit/ and vdev/, so the two vendors cannot drift.
 *
 * All but cpu_on act on a vCPU that runs on this CPU or stands still (see vcpu.h).
 */
#pragma once

#include <hv/exit.h>
#include <hv/vcpu.h>

enum inject { INJECT_INTERRUPT, INJECT_NMI, INJECT_EXCEPTION };
enum window { WINDOW_OFF, WINDOW_CR8, WINDOW_ANY };

struct hv_ops {
    const char *name;
    uint8_t hypercall[3]; /* the instruction: VMMCALL or VMCALL */
    const struct p2m_codec *codec;
    /* This CPU: switches the extension on. 0, or -ENODEV (not there), -EPERM (locked by firmware), with a log line. */
    int (*cpu_on)(void);
    /* Allocates hw; state as after INIT. MSRs of struct vcpu_state but EFER and PAT, TSC_AUX and PRED_CMD do not exit.
     */
    int (*vcpu_init)(struct vcpu *v);
    void (*vcpu_free)(struct vcpu *v);
    /* Runs the guest until it exits; interrupts of the host that came meanwhile have been taken. */
    void (*enter)(struct vcpu *v, struct vm_exit *x);
    void (*state_get)(const struct vcpu *v, struct vcpu_state *s);
    void (*state_put)(struct vcpu *v, const struct vcpu_state *s); /* nothing is being delivered afterwards */
    void (*paging)(const struct vcpu *v, struct vcpu_paging *p);
    /* Whether an external interrupt (or NMI) would be taken now: IF, no shadow, nothing being injected already. */
    bool (*ready)(const struct vcpu *v, enum inject kind);
    /* The next entry delivers it. `cr2` counts for page faults. One a time: ready() or exceptions of this exit. */
    void (*inject)(struct vcpu *v, enum inject kind, uint8_t vector, bool has_code, uint32_t code, uint64_t cr2);
    /* EXIT_CR8 when the guest writes CR8 (any window but OFF); and for ANY, EXIT_WINDOW as soon as an interrupt would
     * be taken, whatever CR8 says. */
    void (*want_window)(struct vcpu *v, enum window window);
    void (*end_shadow)(struct vcpu *v); /* an instruction was completed in software */
    void (*flush)(struct vcpu *v);      /* the next entry has no cached translations */
    void (*set_tsc_offset)(struct vcpu *v, int64_t offset);
    void (*dump)(const struct vcpu *v); /* the vendor's structure, for a crash */
};

extern const struct hv_ops *hv;

# SPDX-License-Identifier: GPL-2.0-or-later
"""What was measured of the references before (instructions; Debian 12, QEMU 7.2), to see whether the bench still
measures the same. docs/bench.md says what is known of the differences."""

XEN = {"cpuid": 5366, "msr_efer_read": 5249, "x2apic_id_read": 5274, "x2apic_tpr_write": 5309,
       "x2apic_tmict_write": 6399, "xapic_id_read": 15735, "xen_version": 5653, "sched_yield": 8567,
       "evtchn_send_unbound": 9595, "hvm_get_param": 13475, "physmap_shared_info": 15391}
KVM = {"cpuid": 3152, "msr_efer_read": 3221, "x2apic_id_read": 3315, "x2apic_tpr_write": 3286,
       "x2apic_tmict_write": 3998, "xapic_id_read": 4105, "ioapic_read": 4287, "hpet_read": 8071,
       "port_qemu_fwcfg": 5479}
COLUMNS = {"xen": XEN, "kvm": KVM}
# What Bulkhead's hypervisor shall need at most.
GOALS = {"cpuid": 400, "cr8_uncovers": 1000, "x2apic_tpr_write": 450, "xapic_id_read": 1500, "xapic_tpr_write": 1500,
         "ioapic_read": 1500, "hpet_read": 1500, "pic_read": 500, "pic_write": 500, "pit_read": 500, "port61_read": 500,
         "xen_version": 350, "sched_yield": 900, "evtchn_send_unbound": 900}
# From the hypervisor's entry to the kernel's.
ENTRY_LIMIT = 50_000_000
# The control domain's kernel, started on it and without any hypervisor.
START_RATIO = 1.05
# MiB that it keeps: so many, and so much of the machine's memory.
KEPT_MIB, KEPT_SHARE = 8, 0.006
IMAGE_KIB = 400


def differences(column, rows):
    """{row: measured / reference} of the rows that are in both."""
    return {name: rows[name].value / value for name, value in COLUMNS[column].items()
            if name in rows and rows[name].value is not None}

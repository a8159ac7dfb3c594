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


def differences(column, rows):
    """{row: measured / reference} of the rows that are in both."""
    return {name: rows[name].value / value for name, value in COLUMNS[column].items()
            if name in rows and rows[name].value is not None}

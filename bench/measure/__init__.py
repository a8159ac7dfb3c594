# SPDX-License-Identifier: GPL-2.0-or-later
"""What hypervisors cost, counted in instructions: QEMU's icount makes one instruction one nanosecond and
one tick of the time-stamp counter, so that figures repeat exactly on any computer.

A *column* is a hypervisor (columns.py), a *subject* is what is measured: exits, dm, boot, memory. A subject
is a function of a column that returns {row: Figure}. table.py shows columns side by side.
"""

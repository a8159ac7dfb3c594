# SPDX-License-Identifier: GPL-2.0-or-later
"""`bench measure SUBJECT`: prints a table with a column for each hypervisor, and JSON."""
import sys
from pathlib import Path

from bench.measure import columns, subjects, table


def add(verbs):
    command = verbs.add_parser("measure", help="measure hypervisors, in instructions")
    command.description = "Measures hypervisors under icount: figures are instructions and repeat exactly."
    command.add_argument("subject", nargs="+", choices=list(subjects.SUBJECTS),
                         help="; ".join(f"{name}: {subject.__doc__.splitlines()[0]}"
                                        for name, subject in subjects.SUBJECTS.items()))
    command.add_argument("--columns", default="xen,kvm", metavar="A,B",
                         help=f"of {', '.join(columns.COLUMNS)} (default: xen,kvm)")
    command.add_argument("--json", metavar="FILE", help="store the figures as JSON too ('-': print only that)")
    command.set_defaults(act=act)


def act(options):
    chosen = columns.choose(options.columns)
    for subject in options.subject:
        measured = {}
        for column in chosen:
            print(f"Measuring {subject} on {column.title} ...", file=sys.stderr, flush=True)
            measured[column.name] = subjects.SUBJECTS[subject](column)
        text = table.as_json(subject, measured)
        if options.json == "-":
            print(text, end="")
            continue
        if options.json:
            path = Path(options.json)
            target = path if len(options.subject) == 1 else path.with_stem(f"{path.stem}-{subject}")
            target.write_text(text)
        print(table.text(subject, measured) + table.reasons(measured), flush=True)

# SPDX-License-Identifier: GPL-2.0-or-later
"""Figures of several hypervisors side by side, for people and (JSON) for programs. Pure."""
import dataclasses
import json


def text(subject, columns):
    """columns: {name: {row: Figure}}, the first is what the others are compared with; a table with a ratio
    for each other column, where below 1 is better than the first."""
    names = list(columns)
    rows = list(dict.fromkeys(row for figures in columns.values() for row in figures))
    head = [subject]
    for name in names:
        head += [name] if name == names[0] else [name, f"/ {names[0]}"]
    lines = [head] + [_line(row, names, columns) for row in rows]
    widths = [max(len(line[at]) for line in lines) for at in range(len(head))]
    shown = ["  ".join(cell.ljust(widths[at]) if at == 0 else cell.rjust(widths[at])
                       for at, cell in enumerate(line)).rstrip() for line in lines]
    return "\n".join([shown[0], "-" * len(shown[0]), *shown[1:]]) + "\n"


def _line(row, names, columns):
    first = columns[names[0]].get(row)
    cells = [row]
    for name in names:
        figure = columns[name].get(row)
        cells.append(_cell(figure))
        if name != names[0]:
            cells.append(_ratio(figure, first))
    unit = next((figure.unit for figure in (columns[name].get(row) for name in names) if figure), "")
    cells[0] += "" if unit in ("", "instructions") else f" ({unit})"
    return cells


def _cell(figure):
    if figure is None or figure.value is None:
        return "-"
    if isinstance(figure.value, int) or figure.value == int(figure.value):
        return f"{int(figure.value):,}"
    return f"{figure.value:,.2f}"


def _ratio(figure, first):
    if not figure or not first or figure.value is None or not first.value:
        return ""
    return f"{figure.value / first.value:.2f}"


def reasons(columns):
    """Why cells are empty: one line for each column and reason."""
    rows = {}
    for name, figures in columns.items():
        for row, figure in figures.items():
            if figure.value is None:
                rows.setdefault((name, figure.reason), []).append(row)
    return "".join(f"{name}: {reason}: {', '.join(found)}\n" for (name, reason), found in rows.items())


def as_json(subject, columns):
    data = {name: {row: dataclasses.asdict(figure) for row, figure in figures.items()}
            for name, figures in columns.items()}
    return json.dumps({"subject": subject, "columns": data}, indent=1) + "\n"

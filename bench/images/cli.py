# SPDX-License-Identifier: GPL-2.0-or-later
"""`bench images`: what is in the cache, building, throwing away."""
import argparse
import time

from bench.images import cache, catalog


def main(args):
    """Runs the command with the arguments (a list of words) and returns its exit status; BenchError
    when it fails."""
    options = parser().parse_args(args)
    return options.action(options)


def parser():
    description = f"Images: {', '.join(catalog.names())}. Kept in {cache.root()}."
    result = argparse.ArgumentParser(prog="bench images", description=description)
    result.set_defaults(action=_list)
    actions = result.add_subparsers(metavar="ACTION")
    actions.add_parser("list",
                       help="what is there and what it takes").set_defaults(action=_list)
    build = actions.add_parser("build", help="build what is missing")
    build.add_argument("name", nargs="*", metavar="NAME", help="an image (default: all)")
    build.set_defaults(action=_build)
    remove = actions.add_parser("remove", help="remove all versions of an image")
    remove.add_argument("name", nargs="+", metavar="NAME")
    remove.set_defaults(action=_remove)
    actions.add_parser("prune",
                       help="remove what the recipes no longer make").set_defaults(action=_prune)
    return result


def _list(_options):
    entries = cache.entries()
    for entry in entries:
        age = time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.built))
        state = "" if entry.current else "  (old)"
        size = entry.size / 2**20
        print(f"{entry.image.name:24} {entry.image.hash}  {size:7.1f} MiB  "
              f"built {age} in {entry.seconds} s{state}")
    there = {entry.image.name for entry in entries if entry.current}
    for name in catalog.names():
        if name not in there:
            print(f"{name:24} not built")
    return 0


def _build(options):
    for name in options.name or catalog.names():
        image = cache.get(name)
        print(f"{image.folder}: {cache.describe_sizes(image.folder)}")
    return 0


def _remove(options):
    for name in options.name:
        catalog.builder(name)
    _say_removed([entry for entry in cache.entries() if entry.image.name in options.name],
                 cache.remove)
    return 0


def _prune(_options):
    _say_removed(cache.prune(), lambda entry: None)
    return 0


def _say_removed(entries, action):
    for entry in entries:
        action(entry)
        print(f"Removed {entry.image.name} {entry.image.hash}, {entry.size / 2**20:.1f} MiB")
    if not entries:
        print("There was nothing to remove.")

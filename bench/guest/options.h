/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Pure: the command line, key=value words between blanks; an unknown one is reported, not fatal. */
#ifndef BENCH_GUEST_OPTIONS_H
#define BENCH_GUEST_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ROUNDS_MAX 4096u
#define DOMID_ANY UINT64_MAX

enum role { ROLE_ALONE, ROLE_PING, ROLE_PONG };

struct options {
    char tests[256];   /* comma list of words; empty: everything */
    uint64_t rounds;   /* samples per row */
    uint64_t settle;   /* ticks of silence between printing and measuring */
    uint64_t patience; /* ticks until a wait counts as failed */
    enum role role;
    uint64_t peer;      /* domain ID of the other instance, DOMID_ANY: ask xenstore */
    uint64_t exit_port; /* isa-debug-exit, 0: none */
    char console[32];   /* comma list of xen, com1, e9; empty: what the machine has */
    char bad[64];       /* first word that was not understood */
};

void options_parse(struct options *o, const char *line);
/* A row is wanted when no tests are named, or one word is its group or, not being a
 * group, part of its name. */
bool options_want(const struct options *o, const char *group, const char *row);
/* One of a comma-separated list? */
bool options_listed(const char *list, const char *word);

#endif

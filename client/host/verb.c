/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The verbs and states of a machine: their names, and which verb fits which state. Pure tables. */
#include <glib/gi18n-lib.h>

#include <bulkhead/machine.h>

#define BIT(state) (1u << (state))

static const struct {
    const char *name;
    const char *label;
    guint states;       /* in which it makes sense */
    const char *reason; /* shown in the other states */
    gboolean destructive;
} verbs[BH_N_VERBS] = {
    [BH_VERB_START] = {"start", N_("_Start"),
                       BIT(BH_STATE_OFF) | BIT(BH_STATE_SAVED) | BIT(BH_STATE_CRASHED),
                       N_("The machine is already on."), FALSE},
    [BH_VERB_SHUTDOWN] = {"shutdown", N_("Shut _Down"),
                          BIT(BH_STATE_RUNNING) | BIT(BH_STATE_STOPPING),
                          N_("The machine is not running."), FALSE},
    [BH_VERB_REBOOT] = {"reboot", N_("_Reboot"), BIT(BH_STATE_RUNNING) | BIT(BH_STATE_STOPPING),
                        N_("The machine is not running."), FALSE},
    [BH_VERB_RESET] = {"reset", N_("Rese_t"),
                       BIT(BH_STATE_RUNNING) | BIT(BH_STATE_PAUSED) | BIT(BH_STATE_STOPPING),
                       N_("The machine is not running."), TRUE},
    [BH_VERB_FORCE_OFF] = {"force-off", N_("_Force Off"),
                           BIT(BH_STATE_STARTING) | BIT(BH_STATE_RUNNING) | BIT(BH_STATE_PAUSED) |
                               BIT(BH_STATE_STOPPING),
                           N_("The machine is not running."), TRUE},
    [BH_VERB_PAUSE] = {"pause", N_("_Pause"), BIT(BH_STATE_RUNNING) | BIT(BH_STATE_STOPPING),
                       N_("The machine is not running."), FALSE},
    [BH_VERB_RESUME] = {"resume", N_("_Resume"), BIT(BH_STATE_PAUSED),
                        N_("The machine is not paused."), FALSE},
    [BH_VERB_SAVE] = {"save", N_("Sa_ve"),
                      BIT(BH_STATE_RUNNING) | BIT(BH_STATE_PAUSED) | BIT(BH_STATE_STOPPING),
                      N_("The machine is not running."), FALSE},
    [BH_VERB_DISCARD_SAVE] = {"discard-save", N_("D_iscard Saved State"), BIT(BH_STATE_SAVED),
                              N_("The machine has no saved state."), TRUE},
};

static const struct {
    const char *name;
    const char *label;
} states[] = {
    [BH_STATE_OFF] = {"off", N_("Off")},
    [BH_STATE_STARTING] = {"starting", N_("Starting")},
    [BH_STATE_RUNNING] = {"running", N_("Running")},
    [BH_STATE_PAUSED] = {"paused", N_("Paused")},
    [BH_STATE_SAVING] = {"saving", N_("Saving")},
    [BH_STATE_SAVED] = {"saved", N_("Saved")},
    [BH_STATE_STOPPING] = {"stopping", N_("Shutting down")},
    [BH_STATE_CRASHED] = {"crashed", N_("Crashed")},
    [BH_STATE_GONE] = {"gone", N_("Gone")},
};

const char *bh_verb_get_name(BhVerb verb)
{
    return verbs[verb].name;
}

const char *bh_verb_get_label(BhVerb verb)
{
    return _(verbs[verb].label);
}

gboolean bh_verb_is_destructive(BhVerb verb)
{
    return verbs[verb].destructive;
}

const char *bh_state_get_name(BhState state)
{
    return states[state].name;
}

const char *bh_state_get_label(BhState state)
{
    return _(states[state].label);
}

gboolean bh_machine_can(BhMachine *self, BhVerb verb, const char **reason)
{
    BhState state = bh_machine_get_state(self);
    const char *why = NULL;

    if (state == BH_STATE_GONE)
        why = _("This machine is no longer on its host.");
    else if (state == BH_STATE_SAVING)
        why = _("The machine is being saved.");
    else if (!(verbs[verb].states & BIT(state)))
        why = _(verbs[verb].reason);
    if (reason)
        *reason = why;
    return !why;
}

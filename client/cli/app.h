/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The running app, over D-Bus: what only it can do, because it holds the machines' displays. */
#pragma once

#include "cli.h"

/* Opens the machine's window; starts the app when it does not run. */
int app_open_machine(Cli *cli, BhMachine *machine);
/* Asks the running app to redirect a device to a machine it shows, or to give it back: action is
 * "usb-attach" or "usb-detach". */
int app_usb(Cli *cli, const char *action, BhMachine *machine, const char *device_id);

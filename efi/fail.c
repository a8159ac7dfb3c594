/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The one way out: what, why, what to do; then a key or half a minute, so that it can be read and an unattended
 * machine goes on to its next boot entry; then back to the firmware with all memory given back.
 */
#include "loader.h"

#define SECONDS 30u

void fail_wait(const char *why, const char *remedy)
{
    print("\n  Why:        %s\n  What to do: %s\n\n", why, remedy);
    print("Press a key to return to the firmware; it goes on by itself in %u seconds.\n", SECONDS);
    while (console_key())
        ; /* what was typed before the message was not meant for it */
    for (unsigned int i = 0; i < 10 * SECONDS && !console_key(); i++)
        boot_services->stall(100000);
    pages_release_all();
    boot_services->exit(fw_image, EFI_LOAD_ERROR, 0, NULL);
    for (;;)
        __asm__ volatile("hlt"); /* exit() does not return from the image that runs */
}

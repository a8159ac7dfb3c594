/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The one way out: what, why, what to do; then a key or half a minute, so that it can be read and an unattended
 * machine goes on to its next boot entry; then back to the firmware with a status and all memory given back.
 */
#include "loader.h"

#define SECONDS 30

static void wait_for_key(void)
{
    void *events[2] = {0};
    struct efi_key key;
    uint64_t which;

    while (console_key(&key))
        ; /* what was typed before the message was not meant for it */
    if (boot_services->create_event(EFI_EVENT_TIMER, 0, NULL, NULL, &events[0]) != EFI_SUCCESS)
        return;
    boot_services->set_timer(events[0], EFI_TIMER_RELATIVE, SECONDS * EFI_SECOND);
    if (fw->in)
        events[1] = fw->in->key_event;
    boot_services->wait_for_event(events[1] ? 2 : 1, events, &which);
    boot_services->close_event(events[0]);
    console_key(&key);
}

void fail(efi_status status, const char *why, const char *remedy, const char *what, ...)
{
    char text[400];
    va_list list;

    va_start(list, what);
    text_format_list(text, sizeof(text), what, list);
    va_end(list);
    print("\nbulkhead: %s\n  Why:        %s\n  What to do: %s\n\n", text, why, remedy);
    print("Press a key to return to the firmware; it goes on by itself in %u seconds.\n", SECONDS);
    wait_for_key();
    pages_release_all();
    boot_services->exit(fw_image, status, 0, NULL);
    for (;;)
        __asm__ volatile("hlt"); /* exit() does not return from the image that runs */
}

const char *status_text(efi_status status)
{
    static char other[40];
    static const char *const names[] = {
        [2] = "the firmware finds its parameters wrong",
        [3] = "the firmware cannot do that",
        [7] = "the device reports an error",
        [9] = "there is not enough memory",
        [10] = "the file system is damaged",
        [14] = "it is not there",
        [18] = "the device does not answer",
    };
    const uint64_t code = status & ~EFI_ERROR_BIT;

    if (code < sizeof(names) / sizeof(names[0]) && names[code])
        return names[code];
    text_format(other, sizeof(other), "firmware error 0x%llx", (unsigned long long)status);
    return other;
}

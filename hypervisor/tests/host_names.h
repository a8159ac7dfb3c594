/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Native tests link libc too; what lib.c defines then carries these names. Included by lib.c only. */
#pragma once

#define memcpy hv_memcpy
#define memmove hv_memmove
#define memset hv_memset
#define memcmp hv_memcmp
#define strlen hv_strlen
#define vsnprintf hv_vsnprintf
#define snprintf hv_snprintf

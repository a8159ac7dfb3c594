/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What goes to standard output: tables, JSON, and the JSON form of each thing (man page: JSON). */
#pragma once

#include <bulkhead/usb.h>
#include <json-glib/json-glib.h>

#include "cli.h"

/* A table: cells are cleaned of control characters; the last column is not padded. */
typedef struct _Table Table;
Table *table_new(guint columns, ...); /* that many headings */
void table_row(Table *self, ...);     /* that many strings, NULL is "" */
void table_print_free(Table *self);   /* nothing at all without rows */

/* Prints and takes the builder's root. */
void output_json(JsonBuilder *builder);
/* The same on one line, for streams. */
void output_json_line(JsonBuilder *builder);

/* Members for the object that is being built. NULL strings become null. */
void json_string(JsonBuilder *builder, const char *key, const char *value);
void json_bool(JsonBuilder *builder, const char *key, gboolean value);
void json_int(JsonBuilder *builder, const char *key, gint64 value);

void json_machine(JsonBuilder *builder, BhMachine *machine);
void json_event(JsonBuilder *builder, BhEvent *event);
void json_deleted(JsonBuilder *builder, BhDeleted *deleted);

/* The names of fields in a mask, comma-separated ("cpus, memory"). Caller frees. */
char *fields_to_text(BhSpecFields fields);
/* Names of enumerated values as the options take them. */
extern const char *const video_names[];
extern const char *const nic_names[];

char *format_time(gint64 seconds); /* local time */
char *format_bytes(guint64 bytes);

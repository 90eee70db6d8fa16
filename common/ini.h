/*
 * Configuration files: inih reads them, tables of options say what they may hold.
 *
 * A program lists its kinds of sections, and for each kind its keys: type, bounds,
 * default, where the value goes. From that one list come the reading, the errors,
 * the comparison on reload and the listing of what is in force. Every error is one
 * line "FILE:LINE: [section] key: what is wrong; expected what", and all errors of
 * a file come in one run, in the order of its lines.
 */
#ifndef COMMON_INI_H
#define COMMON_INI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "common/addr.h"

#define INI_FILE_MAX (32u << 20) /* bytes of a file */
#define INI_ERRORS 200		 /* told one by one; the rest is only counted */

struct ini;
struct ini_kind;
struct ini_option;

/* One header of a file, with what came below it. */
struct ini_section {
	const struct ini_kind *kind;
	char *label;	/* as between the brackets: "peer chicago" */
	char *argument; /* "chicago"; "" if there is none */
	unsigned line;	/* of the header; 1 if it is not in the file at all */
	void *base;	/* the struct that its keys fill */
	/* where each value, or item of a list, was: in the order of the file */
	struct ini_place *places;
	size_t n_places;
};

struct ini_place {
	const struct ini_option *option;
	unsigned line;
	bool bad; /* reported, not taken */
};

/* A value, or one item of a list, while it is read. */
struct ini_value {
	struct ini *ini;
	const struct ini_section *section;
	const struct ini_option *option;
	const char *key;  /* as in the file */
	const char *text; /* never empty */
	unsigned line;
};

struct ini_type {
	/* Reads v->text into the field. False: not taken; it has said why, by ini_wrong()
	 * or ini_refuse(), and left the field alone. */
	bool (*parse)(const struct ini_value *v, void *field);
	/* Writes the field as a file would have it; nothing for "not set". */
	void (*format)(const struct ini_option *, const void *field, FILE *out);
	/* Writes what is expected, after "expected ". */
	void (*expect)(const struct ini_option *, FILE *out);
};

struct ini_word {
	const char *text; /* NULL ends a list of them */
	int value;	  /* -1: a word of the manual that this build does not have */
};

#define INI_REQUIRED 1 /* must be given in each section of its kind */
#define INI_LIST 2     /* comma separated; goes on in indented lines; adds up */
#define INI_FIXED 4    /* can't be changed by a reload */

struct ini_option {
	const char *key; /* NULL: the keys of this section are data themselves */
	const struct ini_type *type;
	/* The field within the section's struct; size 0: the struct as a whole. A list
	 * is a pointer there to items of this size, and their number (a size_t). */
	size_t offset, size, count;
	unsigned flags;
	uint64_t min, max;	      /* number: value; duration: ns; name, path: max length */
	size_t most;		      /* items of a list; 0: any number */
	const char *zero;	      /* a word for the value zero: "auto", "off" */
	const struct ini_word *words; /* of a choice */
	const char *fallback;	      /* the default, as text; NULL: none, the field stays 0 */
	const char *expected;	      /* instead of what the type would say */
};

#define INI_FIELD(s, member) .offset = offsetof(s, member), .size = sizeof(((s *)NULL)->member)
#define INI_ITEMS(s, member, number) \
	.offset = offsetof(s, member), .size = sizeof(*((s *)NULL)->member), \
	.count = offsetof(s, number)

struct ini_kind {
	const char *name;     /* first word of the header */
	const char *argument; /* what the second is, "NAME" or "ID"; NULL: there is none */
	bool optional;	      /* no argument, and no defaults when it is not there */
	const struct ini_option *options;
	size_t n_options;
	/* The struct for a new section (its base); NULL: ignore its keys, after an
	 * error was reported or for want of memory (then ini_no_memory was called).
	 * Sections without argument are opened once, however often they come. */
	void *(*open)(void *arg, struct ini *, struct ini_section *);
};

/* The types that more than one program needs. Field: */
extern const struct ini_type ini_number;   /* unsigned of 1, 2, 4 or 8 bytes */
extern const struct ini_type ini_duration; /* int64_t, nanoseconds: "200ms", "2m" */
extern const struct ini_type ini_bool;	   /* bool: yes, no */
extern const struct ini_type ini_choice;   /* an enum: one of words */
extern const struct ini_type ini_name;	   /* char *: letters, digits, '.', '_', '-' */
extern const struct ini_type ini_path;	   /* char *: an absolute path */
extern const struct ini_type ini_id;	   /* uint32_t: decimal or dotted quad, min to max */
extern const struct ini_type ini_endpoint; /* struct endpoint, with a port that is not 0 */
extern const struct ini_type ini_prefix;   /* struct prefix, or an address */

/* For a type's parse: an address that a machine may have (ip_is_host) goes to the field of its
 * family, one to each at most. */
bool ini_address_parse(const struct ini_value *, struct ip *ipv4, struct ip *ipv6);

/* `file` is for the messages. NULL: out of memory. */
struct ini *ini_new(const char *file);
void ini_free(struct ini *);

/* Reads a whole file from memory and fills in the defaults. Errors are kept for
 * ini_report(). `arg` is for open(); types get it by ini_arg(). */
void ini_read(struct ini *, const char *text, size_t len, const struct ini_kind *kinds,
	      size_t n_kinds, void *arg);
void *ini_arg(const struct ini *);

/* Keeps an error. key and expected may be NULL. */
__attribute__((format(printf, 6, 7))) void ini_error(struct ini *, unsigned line, const char *label,
						     const char *key, const char *expected,
						     const char *what, ...);
/* The value's text can't be: expected is what the type says. */
void ini_wrong(const struct ini_value *);
/* The value can't be, for this reason. */
__attribute__((format(printf, 3, 4))) void ini_refuse(const struct ini_value *,
						      const char *expected, const char *what, ...);
void ini_no_memory(struct ini *);

/* Writes what was kept, in the order of lines. True if there was nothing. */
bool ini_report(struct ini *, FILE *out);

/* The line of the n-th item of a key (or of the header, if there is no such item).
 * Items that were not taken don't count. */
unsigned ini_line(const struct ini_section *, const char *key, size_t n);
/* Whether a value of the key was reported and not taken. */
bool ini_bad(const struct ini_section *, const char *key);

/* Calls fn for each key of a kind that is set in the struct. Data keys, and types
 * without a format, are left out. */
void ini_each(const struct ini_kind *, const char *label, const void *base,
	      void (*fn)(void *arg, const char *section, const char *key, const char *value),
	      void *arg);
/* Calls fn for each key that is INI_FIXED and differs. */
void ini_fixed(const struct ini_kind *, const void *old_base, const void *new_base,
	       void (*fn)(void *arg, const struct ini_option *, const char *old_text,
			  const char *new_text),
	       void *arg);
/* The option of a kind; NULL if it has no such key. */
const struct ini_option *ini_lookup(const struct ini_kind *, const char *key);
/* Appends to a list of that item size, whose number of items is *n: zeroed room, not
 * yet counted. NULL: out of memory. */
void *ini_grow(void **items, size_t n, size_t size);
/* Whether text is a name of at most max characters. */
bool ini_is_name(const char *text, size_t max);

#endif

/*
 * Tables for people: cells of text, columns as wide as they must be.
 */
#ifndef CTL_COLUMNS_H
#define CTL_COLUMNS_H

#include <stdio.h>

struct columns;

/* Titles separated by '|'; one that begins with '>' is of a column that is set
 * to the right. NULL (and all calls then do nothing): out of memory. */
struct columns *columns_new(const char *titles);
/* The next cell; a row is full after as many as there are titles. */
void columns_add(struct columns *, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Prints, each line indented by so many blanks, and frees. Without rows it prints
 * nothing but `none`, if that is not NULL. */
void columns_print(struct columns *, unsigned indent, const char *none, FILE *out);

#endif

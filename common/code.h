/*
 * The program's code in memory.
 */
#ifndef COMMON_CODE_H
#define COMMON_CODE_H

#include <stdint.h>

/* Gives back what is in memory of a program's or library's segment that isn't written to, of
 * the one with this address or, with 0, of all: it is read again from its file when it is
 * needed. */
void code_forget(uintptr_t in);

#endif

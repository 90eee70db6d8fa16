/*
 * Taking vine-tiny off a VM: what its bootstrap script has put there, and what a killed one
 * has left.
 */
#ifndef TINY_UNINSTALL_H
#define TINY_UNINSTALL_H

#include <stdbool.h>
#include <stdio.h>

/* Ends what runs with this configuration, and removes routes, service, configuration, key
 * files and the program itself; says each step on `out`. What is not there is no error.
 * False: something could not be removed, said. */
bool uninstall(const char *config_file, FILE *out);

#endif

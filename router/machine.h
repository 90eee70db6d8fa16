/*
 * The router on a real machine: its device, sockets, Netfilter queues and
 * threads. (Simulations give workers in-memory twins instead.)
 */
#ifndef ROUTER_MACHINE_H
#define ROUTER_MACHINE_H

#include <stdbool.h>
#include <stdio.h>

struct config;
struct router;
struct machine;

/* Opens everything that needs privileges, and sets up the host. NULL with lines
 * on errors; then nothing is left set up. */
struct machine *machine_open(struct router *, FILE *errors);
/* Starts the workers' threads and listens to their notes. 0 or -errno. */
int machine_start(struct machine *);
/* Ends the threads. */
void machine_stop(struct machine *);
/* Takes down what machine_open set up, the routes that keep packets from leaking
 * last. The router's workers have no devices afterwards. */
void machine_close(struct machine *);

/* Routes, addresses, interception and injection as this configuration says. False
 * with lines on errors; then the one in force is to be applied again. */
bool machine_apply(struct machine *, const struct config *, FILE *errors);
/* The members of the site are others now: follows them. */
void machine_tables_changed(struct router *);

#endif

/*
 * vine-authority init: everything that an authority begins with.
 */
#ifndef AUTHORITY_INIT_H
#define AUTHORITY_INIT_H

/* argv[0] is "init". The exit code. */
int init_run(int argc, char **argv);

#endif

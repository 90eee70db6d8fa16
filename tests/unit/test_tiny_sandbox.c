/* links: router/sandbox tiny/seccomp */
/*
 * The same sandbox with what vine-tiny has instead of libseccomp.
 */
#include "test_sandbox.c"

/*
 * Tells systemd how the service is (sd_notify(3)), if it asked to be told.
 */
#ifndef COMMON_NOTIFY_H
#define COMMON_NOTIFY_H

/* One assignment, such as "READY=1". Without NOTIFY_SOCKET nothing happens. */
void notify(const char *state);

#endif

/*
 * Alerts: the difference between what was found before and what is found now, told to the
 * log and the webhook, and counted.
 */
#ifndef AUTHORITY_ALERTS_H
#define AUTHORITY_ALERTS_H

#include "authority/check.h"

/* "raised": found anew, or of another severity than before. */
typedef void alert_fn(void *arg, const struct finding *, bool raised);

struct alerts {
	struct findings found;
	uint64_t raised[FINDINGS];
};

/* Takes over what is found now. What was found before keeps its time. */
void alerts_update(struct alerts *, struct findings *now, alert_fn *, void *arg);
void alerts_done(struct alerts *);
/* An alert as JSON: the finding, and its "state". */
json_t *alert_json(const struct finding *, bool raised);

#endif

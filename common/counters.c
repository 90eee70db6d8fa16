/*
 * The names and texts of what is counted, made from the lists in the header.
 *
 * A number outside a list gives "unknown", so that what prints counters needs
 * no check of its own. The counters themselves are in the header: they are plain
 * adds, and nothing here touches them.
 */
#include "common/counters.h"

const char *drop_label(enum drop d)
{
	static const char *const labels[DROPS] = {
#define X(name, label, text) [DROP_##name] = label,
		DROP_LIST(X)
#undef X
	};

	return (unsigned)d < DROPS ? labels[d] : "unknown";
}

const char *drop_text(enum drop d)
{
	static const char *const texts[DROPS] = {
#define X(name, label, text) [DROP_##name] = text,
		DROP_LIST(X)
#undef X
	};

	return (unsigned)d < DROPS ? texts[d] : "unknown";
}

const char *event_metric(enum event e)
{
	static const char *const metrics[EVENTS] = {
#define X(name, metric, text) [EVENT_##name] = metric,
		EVENT_LIST(X)
#undef X
	};

	return (unsigned)e < EVENTS ? metrics[e] : "unknown";
}

const char *event_text(enum event e)
{
	static const char *const texts[EVENTS] = {
#define X(name, metric, text) [EVENT_##name] = text,
		EVENT_LIST(X)
#undef X
	};

	return (unsigned)e < EVENTS ? texts[e] : "unknown";
}

/*
 * A configuration's end: what it holds, wherever it was made.
 */
#include <stdlib.h>
#include <string.h>

#include "router/config_private.h"

void config_peer_done(struct config_peer *p)
{
	crypto_wipe(p->key, sizeof(p->key));
	free(p->name);
	free(p->host);
	free(p->key_file);
	free(p->addresses);
	for (size_t i = 0; i < p->n_queue_routers; i++)
		free(p->queue_routers[i]);
	free(p->queue_routers);
}

void config_done(struct config *c)
{
	for (size_t i = 0; i < c->n_peers; i++)
		config_peer_done(&c->peers[i]);
	free(c->peers);
	for (size_t i = 0; i < c->n_interfaces; i++)
		free(c->interfaces[i]);
	free(c->interfaces);
	for (size_t i = 0; i < c->n_queue_routers; i++)
		free(c->queue_routers[i]);
	free(c->queue_routers);
	free(c->name);
	free(c->control);
	free(c->device);
	free(c->networks);
	free(c->udp);
	free(c->tcp);
	free(c->tls);
	free(c->tls_certificate);
	free(c->tls_key);
	crypto_wipe(&c->proxy, sizeof(c->proxy));
	for (size_t i = 0; i < c->n_urls; i++) {
		free(c->urls[i].text);
		free(c->urls[i].host);
	}
	free(c->urls);
	free(c->identity);
	free(c->state);
	free(c->lndt);
	free(c->gndt);
	free(c->nets);
	free(c->file);
}

void config_free(struct config *c)
{
	if (!c)
		return;
	config_done(c);
	free(c);
}

const struct config_peer *config_peer(const struct config *c, const char *name)
{
	for (size_t i = 0; i < c->n_peers; i++)
		if (strcmp(c->peers[i].name, name) == 0)
			return &c->peers[i];
	return NULL;
}

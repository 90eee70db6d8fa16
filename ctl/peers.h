/* The table of peers that several commands print. */
#ifndef CTL_PEERS_H
#define CTL_PEERS_H

#include <jansson.h>

/* As "show peers" gives them. */
void peers_print(json_t *peers, unsigned indent);

#endif

/*
 * Servers of the provider, see servers.h: where the machine has written them down.
 *
 *   resolv.conf           nameserver ADDRESS
 *   systemd-networkd      SERVER_ADDRESS=, DNS=, NTP= of each lease
 *   dhclient              option dhcp-server-identifier, domain-name-servers, ntp-servers
 *
 * and the addresses at which clouds serve metadata, names and time to every VM. A file that
 * is not there, or not understood, says nothing.
 */
#include "tiny/servers.h"

#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <string.h>

#define LINE 1024

static const char *const well_known[] = {
	"169.254.169.254",		   /* metadata, nearly everywhere */
	"169.254.169.253",		   /* names, Amazon */
	"169.254.169.123",		   /* time, Amazon */
	"169.254.170.2",		   /* containers' credentials, Amazon */
	"168.63.129.16",		   /* Azure's own */
	"100.100.100.200",		   /* Alibaba's */
	"192.0.0.192",			   /* Oracle's, older images */
	"fd00:ec2::254",		   /* Amazon, IPv6 */
	"fd00:ec2::253",   "fd20:ce::254", /* Google, IPv6 */
};

static const char *const files[] = { "/etc/resolv.conf", "/run/systemd/resolve/resolv.conf" };

static const char *const directories[] = { "/run/systemd/netif/leases", "/var/lib/dhcp",
					   "/var/lib/dhclient", "/var/lib/NetworkManager" };

static const char *const words[] = { "nameserver ",
				     "SERVER_ADDRESS=",
				     "DNS=",
				     "NTP=",
				     "option dhcp-server-identifier ",
				     "option domain-name-servers ",
				     "option ntp-servers ",
				     "dhcp_server_identifier=",
				     "domain_name_servers=" };

bool servers_of_line(const char *line, bool (*fn)(void *arg, const struct ip *), void *arg)
{
	char text[LINE], *rest, *word;

	while (isspace((unsigned char)*line))
		line++;
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (strncmp(line, words[i], strlen(words[i])) != 0)
			continue;
		snprintf(text, sizeof(text), "%s", line + strlen(words[i]));
		for (word = strtok_r(text, " \t\r\n,;%", &rest); word;
		     word = strtok_r(NULL, " \t\r\n,;", &rest)) {
			struct ip ip;

			if (ip_parse(word, &ip) == 0 && !fn(arg, &ip))
				return false;
		}
	}
	return true;
}

static bool of_file(const char *name, bool (*fn)(void *arg, const struct ip *), void *arg)
{
	FILE *f = fopen(name, "re");
	char line[LINE];
	bool ok = true;

	while (ok && f && fgets(line, sizeof(line), f))
		ok = servers_of_line(line, fn, arg);
	if (f)
		fclose(f);
	return ok;
}

static bool of_directory(const char *name, bool (*fn)(void *arg, const struct ip *), void *arg)
{
	DIR *d = opendir(name);
	const struct dirent *e;
	char path[LINE];
	bool ok = true;

	while (ok && d && (e = readdir(d))) {
		if (e->d_name[0] == '.' ||
		    snprintf(path, sizeof(path), "%s/%s", name, e->d_name) >= (int)sizeof(path))
			continue;
		ok = of_file(path, fn, arg);
	}
	if (d)
		closedir(d);
	return ok;
}

bool servers_each(bool (*fn)(void *arg, const struct ip *), void *arg)
{
	bool ok = true;
	struct ip ip;

	for (size_t i = 0; ok && i < sizeof(well_known) / sizeof(well_known[0]); i++)
		ok = ip_parse(well_known[i], &ip) != 0 || fn(arg, &ip);
	for (size_t i = 0; ok && i < sizeof(files) / sizeof(files[0]); i++)
		ok = of_file(files[i], fn, arg);
	for (size_t i = 0; ok && i < sizeof(directories) / sizeof(directories[0]); i++)
		ok = of_directory(directories[i], fn, arg);
	return ok;
}

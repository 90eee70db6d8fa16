/*
 * A directory that a test has made.
 */
#ifndef UNIT_DIRECTORY_H
#define UNIT_DIRECTORY_H

#include <dirent.h>
#include <stdio.h>
#include <unistd.h>

/* Removes it, and the files in it. */
static inline void directory_remove(const char *directory)
{
	char path[400];
	struct dirent *e;
	DIR *d = opendir(directory);

	while (d && (e = readdir(d))) {
		snprintf(path, sizeof(path), "%s/%s", directory, e->d_name);
		unlink(path);
	}
	closedir(d);
	rmdir(directory);
}

#endif

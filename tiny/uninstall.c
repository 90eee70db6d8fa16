/*
 * Taking vine-tiny off a VM, see uninstall.h. In an order in which each step may be the last
 * one: first nothing is started any more, then what runs ends, then what it would need goes,
 * the program itself at the end.
 */
#include "tiny/uninstall.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tiny/config.h"
#include "tiny/lock.h"
#include "tiny/routes.h"

#define SERVICE "vine-tiny.service"
#define CONFIG_DIRECTORY "/etc/vine"
#define SERVICE_FILE "/etc/systemd/system/" SERVICE
#define DEFAULT_DEVICE "vine0"
#define END_TRIES 100 /* 50 ms each */

/* Runs a program to its end; its complaints are not ours. */
static bool run(const char *const argv[])
{
	pid_t pid = fork();
	int status, null;

	if (pid == 0) {
		null = open("/dev/null", O_RDWR);
		dup2(null, STDOUT_FILENO);
		dup2(null, STDERR_FILENO);
		execvp(argv[0], (char *const *)argv);
		_exit(127);
	}
	return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) &&
	       WEXITSTATUS(status) == 0;
}

static void stop_service(FILE *out)
{
	static const char *const stop[] = { "systemctl", "disable", "--now", SERVICE, NULL };

	if (access("/run/systemd/system", F_OK) != 0 || access(SERVICE_FILE, F_OK) != 0)
		return;
	fprintf(out, run(stop) ? "stopped and disabled %s\n" : "%s: systemctl could not stop it\n",
		SERVICE);
}

/* Whoever holds the device. False: it does not end. */
static bool end_process(const char *device, FILE *out)
{
	const struct timespec pause = { .tv_nsec = 50000000 };
	pid_t pid = lock_holder(device);

	if (pid > 0 && kill(pid, SIGTERM) == 0)
		fprintf(out, "ended process %d\n", (int)pid);
	for (unsigned i = 0; lock_holder(device) > 0; i++) {
		if (i == END_TRIES) {
			fprintf(out, "process %d does not end\n", (int)pid);
			return false;
		}
		nanosleep(&pause, NULL);
	}
	return true;
}

static bool remove_file(const char *path, FILE *out)
{
	if (unlink(path) == 0)
		fprintf(out, "removed %s\n", path);
	else if (errno != ENOENT)
		fprintf(out, "%s: can't be removed: %s\n", path, strerror(errno));
	else
		return true;
	return access(path, F_OK) != 0;
}

static bool remove_routes(const char *device, FILE *out)
{
	struct routes *r = routes_open(device);
	int n = r ? routes_remove(r) : -errno;

	if (n > 0)
		fprintf(out, "removed routes and rules of %s\n", device);
	if (n < 0)
		fprintf(out, "%s: its routes can't be removed: %s\n", device, strerror(-n));
	routes_close(r);
	return n >= 0;
}

static bool remove_program(FILE *out)
{
	char path[4096];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);

	if (n <= 0)
		return false;
	path[n] = '\0';
	return remove_file(path, out);
}

bool uninstall(const char *config_file, FILE *out)
{
	static const char *const reload[] = { "systemctl", "daemon-reload", NULL };
	FILE *nowhere = fopen("/dev/null", "we");
	struct tiny_config *c = nowhere ? tiny_config_load(config_file, nowhere) : NULL;
	const char *device = c ? c->device : DEFAULT_DEVICE;
	bool ok;

	if (nowhere)
		fclose(nowhere);
	stop_service(out);
	ok = end_process(device, out);
	ok = remove_routes(device, out) && ok;
	if (access(SERVICE_FILE, F_OK) == 0) {
		ok = remove_file(SERVICE_FILE, out) && ok;
		run(reload);
	}
	for (size_t i = 0; c && i < c->n_key_files; i++)
		ok = remove_file(c->key_files[i], out) && ok;
	ok = remove_file(config_file, out) && ok;
	tiny_config_free(c);
	if (rmdir(CONFIG_DIRECTORY) == 0) /* else something of others is in it */
		fprintf(out, "removed " CONFIG_DIRECTORY "\n");
	ok = remove_program(out) && ok;
	fprintf(out, ok ? "vine-tiny is off this machine\n" : "not all of it could be removed\n");
	return ok;
}

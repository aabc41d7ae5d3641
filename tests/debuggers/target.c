// SPDX-License-Identifier: GPL-2.0
/*
 * What debuggers look at: calls, threads and processes of all kinds, the same each time.
 *
 *   target count     computes, calls and tells a sum
 *   target calls     system calls of all sorts between two that fail, with a thread and a child
 *   target wait      waits for a line on standard input
 *   target busy FILE reads zeros for ever, and writes to FILE how often
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static volatile int handled;
static volatile unsigned long reads;

static void check(int good, const char *what)
{
	if (!good) {
		perror(what);
		exit(1);
	}
}

static void handler(int nr)
{
	handled = nr;
}

static int add(int sum, int number)
{
	int result = sum + number;

	return result;
}

static int count(void)
{
	int sum = 0;
	int null = open("/dev/null", O_WRONLY);

	for (int i = 1; i <= 10; i++) {
		sum = add(sum, i);
		check(write(null, &sum, sizeof(sum)) == sizeof(sum), "write");
	}
	close(null);
	printf("sum %d\n", sum);
	return 0;
}

static void *in_thread(void *pipe_end)
{
	check(write(*(int *)pipe_end, "t", 1) == 1, "write");
	check(getpgid(1 << 29) == -1, "getpgid");
	return NULL;
}

static int calls(void)
{
	struct timespec soon = { .tv_nsec = 1000000 };
	int ends[2], pair[2], status;
	struct stat data;
	pthread_t thread;
	char bytes[64];
	pid_t child;

	/* Nobody has this number, which marks the place in a log. */
	getpgid(1 << 28);
	int zero = open("/dev/zero", O_RDONLY);
	check(read(zero, bytes, sizeof(bytes)) == sizeof(bytes), "read");
	check(stat("/no/such", &data) == -1 && errno == ENOENT, "stat");
	check(fstat(zero, &data) == 0, "fstat");
	close(zero);
	check(pipe(ends) == 0, "pipe");
	child = fork();
	if (!child) {
		check(write(ends[1], "c", 1) == 1, "write");
		_exit(3);
	}
	check(waitpid(child, &status, 0) == child && WEXITSTATUS(status) == 3, "waitpid");
	check(pthread_create(&thread, NULL, in_thread, &ends[1]) == 0, "pthread_create");
	check(pthread_join(thread, NULL) == 0, "pthread_join");
	check(read(ends[0], bytes, 2) == 2, "read");
	check(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0, "socketpair");
	check(send(pair[0], "socket", 6, 0) == 6, "send");
	check(recv(pair[1], bytes, sizeof(bytes), 0) == 6, "recv");
	signal(SIGUSR1, handler);
	kill(getpid(), SIGUSR1);
	check(handled == SIGUSR1, "handler");
	nanosleep(&soon, NULL);
	getpgid(1 << 28);
	return 0;
}

static int wait_for_line(void)
{
	char line[64] = "";
	int number = 4711;

	check(read(0, line, sizeof(line) - 1) > 0, "read");
	printf("number %d, line %s", number, line);
	return 0;
}

static void *waits(void *pipe_end)
{
	char byte;

	check(read(*(int *)pipe_end, &byte, 1) == 1, "read");
	return NULL;
}

static _Noreturn void busy(const char *path)
{
	static char bytes[1 << 20];
	int file = open(path, O_CREAT | O_RDWR | O_TRUNC, 0600);
	int zero = open("/dev/zero", O_RDONLY);
	pthread_t thread;
	int ends[2];

	check(file >= 0 && zero >= 0 && pipe(ends) == 0, "open");
	check(pthread_create(&thread, NULL, waits, &ends[0]) == 0, "pthread_create");
	for (;;) {
		/* A stop may end it early. */
		check(read(zero, bytes, sizeof(bytes)) > 0, "read");
		reads++;
		check(pwrite(file, (const void *)&reads, sizeof(reads), 0) == sizeof(reads), "pwrite");
	}
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";

	if (!strcmp(what, "count"))
		return count();
	if (!strcmp(what, "calls"))
		return calls();
	if (!strcmp(what, "wait"))
		return wait_for_line();
	if (!strcmp(what, "busy") && argc > 2)
		busy(argv[2]);
	fprintf(stderr, "usage: target count|calls|wait|busy FILE\n");
	return 2;
}

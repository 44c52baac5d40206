/* Another time of day: preloaded, it adds the days of GLOVEBOX_CLOCK_DAYS to what programs ask.
 * (Debian's libfaketime 0.9.10 hangs in programs of armel with 64-bit time under QEMU, and its shared
 * memory has the name of a process number, which two PID namespaces have at once.)
 * Where a pointer has 32 bits, glibc has these calls twice. */
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#define REALTIME 0
#define COARSE 5 /* CLOCK_REALTIME_COARSE */

/* By hand: the C library's own would ask for a newer one than some root has. */
static long long shift(void)
{
	const char *at = getenv("GLOVEBOX_CLOCK_DAYS");
	long long days = 0;
	for (; at && *at >= '0' && *at <= '9'; at++)
		days = days * 10 + *at - '0';
	return days * 86400;
}

struct wide { long long seconds, rest; };

#if __SIZEOF_POINTER__ == 4
#define ASK 403 /* clock_gettime64 */
#define NAME(plain, wide) wide
#else
#define ASK SYS_clock_gettime
#define NAME(plain, wide) plain
#endif

int NAME(clock_gettime, __clock_gettime64)(int id, struct wide *at)
{
	int failed = syscall(ASK, id, at);
	if (!failed && (id == REALTIME || id == COARSE))
		at->seconds += shift();
	return failed;
}

int NAME(gettimeofday, __gettimeofday64)(struct wide *at, void *zone)
{
	(void)zone;
	int failed = NAME(clock_gettime, __clock_gettime64)(REALTIME, at);
	at->rest /= 1000;
	return failed;
}

long long NAME(time, __time64)(long long *at)
{
	struct wide now;
	NAME(clock_gettime, __clock_gettime64)(REALTIME, &now);
	if (at)
		*at = now.seconds;
	return now.seconds;
}

#if __SIZEOF_POINTER__ == 4
struct narrow { long seconds, rest; };

int clock_gettime(int id, struct narrow *at)
{
	struct wide now;
	int failed = __clock_gettime64(id, &now);
	at->seconds = now.seconds;
	at->rest = now.rest;
	return failed;
}

int gettimeofday(struct narrow *at, void *zone)
{
	int failed = clock_gettime(REALTIME, at);
	(void)zone;
	at->rest /= 1000;
	return failed;
}

long time(long *at)
{
	long long now = __time64(0);
	if (at)
		*at = now;
	return now;
}
#endif

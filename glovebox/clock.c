/* Another time of day for the target's programs, emulated: preloaded, it adds the days of FAKETIME.
 * libfaketime does this for the build machine's own; Debian's 0.9.10 hangs in programs of armel with
 * 64-bit time under QEMU. Where a pointer has 32 bits, glibc has these calls twice. */
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#define REALTIME 0
#define COARSE 5 /* CLOCK_REALTIME_COARSE */

static long long days(void)
{
	const char *asked = getenv("FAKETIME"); /* +400d */
	return asked ? atol(asked) * 86400LL : 0;
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
		at->seconds += days();
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

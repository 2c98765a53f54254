// Time, latencies, and what a process used.
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "loadgen.h"

// Since the program started, not the machine: a cursor, of whole numbers to a million, holds it.
uint64_t now(void)
{
    static uint64_t start;
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    uint64_t ns = (uint64_t)t.tv_sec * SECOND + (uint64_t)t.tv_nsec;
    if (!start)
        start = ns;
    return ns - start;
}

uint64_t from_now(double seconds)
{
    return now() + (uint64_t)(seconds * SECOND);
}

// Latencies are counted in buckets, 64 in each power of two: 1.6 % wrong at most.
enum { STEPS = 64, BUCKETS = 60 * STEPS };
static uint64_t buckets[BUCKETS], latencies, longest_ns;

void note_latency(uint64_t ns)
{
    int shift = ns < STEPS ? 0 : 57 - __builtin_clzll(ns);
    buckets[ns < STEPS ? ns : (uint64_t)shift * STEPS + (ns >> shift)]++;
    latencies++;
    if (ns > longest_ns)
        longest_ns = ns;
}

double quantile_us(double share)
{
    uint64_t wanted = (uint64_t)(share * (double)latencies), counted = 0;
    for (uint64_t i = 0; i < BUCKETS; i++) {
        counted += buckets[i];
        if (counted > wanted)
            return (double)(i < STEPS ? i : (STEPS + i % STEPS) << (i / STEPS - 1)) / 1e3;
    }
    return (double)longest_ns / 1e3;
}

double longest_us(void)
{
    return (double)longest_ns / 1e3;
}

void forget_latencies(void)
{
    memset(buckets, 0, sizeof buckets);
    latencies = longest_ns = 0;
}

// The clock of a process counts nanoseconds, where /proc counts hundredths of a second.
static double clock_s(int pid, double otherwise)
{
    clockid_t clock;
    struct timespec t;
    if (clock_getcpuclockid(pid, &clock) || clock_gettime(clock, &t))
        return otherwise;
    return (double)t.tv_sec + (double)t.tv_nsec / SECOND;
}

static void add_process(struct usage *usage, int pid)
{
    char path[64], stat[1024];
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    FILE *file = fopen(path, "r");
    if (!file)
        return;
    stat[fread(stat, 1, sizeof stat - 1, file)] = 0;
    fclose(file);
    unsigned long user, system, childrens_user, childrens_system;
    long threads, pages;
    const char *fields = strrchr(stat, ')'); // the name before it may hold anything
    if (!fields ||
        sscanf(fields,
               ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu %lu %lu "
               "%*d %*d %ld %*d %*u %*u %ld",
               &user, &system, &childrens_user, &childrens_system, &threads, &pages) != 6)
        return;
    double tick_s = 1.0 / (double)sysconf(_SC_CLK_TCK);
    double ended_s = (double)(childrens_user + childrens_system) * tick_s;
    usage->cpu_s += clock_s(pid, (double)(user + system) * tick_s) + ended_s;
    usage->user_s += (double)(user + childrens_user) * tick_s;
    usage->system_s += (double)(system + childrens_system) * tick_s;
    usage->rss_bytes += (double)pages * (double)sysconf(_SC_PAGESIZE);
    usage->threads += threads;
}

static void add_tree(struct usage *usage, int pid)
{
    char path[64];
    int child;
    add_process(usage, pid);
    snprintf(path, sizeof path, "/proc/%d/task/%d/children", pid, pid);
    FILE *file = fopen(path, "r");
    if (!file)
        return;
    while (fscanf(file, "%d", &child) == 1)
        add_tree(usage, child);
    fclose(file);
}

struct usage used_by(int pid)
{
    struct usage usage = {0};
    if (pid)
        add_tree(&usage, pid);
    return usage;
}

double own_cpu_s(void)
{
    return clock_s(getpid(), 0);
}

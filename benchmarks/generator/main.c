// The load generator: drives a Socket.IO server over WebSocket, and counts what arrives.
//
//     cc -std=c11 -O2 -o loadgen *.c
//     ./loadgen --port 5000 --server-pid 4711 --auth emit --token TOKEN --phases sat,2000
//
// One thread, epoll, and the loopback only. It opens connections, has each join a room, and then
// does what `--scenario` says:
//
//     connect  nothing more: how long does each take to come?
//     fanout   in each room some members send. In the phase `sat` a sender has `window` messages
//              under way, and sends the next when all others have one; in a phase that is a
//              number, so many deliveries a second are due.
//     echo     each connection has `window` pings under way.
//     idle     nothing but heartbeats.
//
// For each phase it prints one JSON object, on a line. Its central figure is the CPU time of the
// process `--server-pid` and its children, divided by what arrived at clients. It ends with 1 when
// not all connections came, and with 2 when it could not start. Needs Linux 5.11 and glibc 2.35.

#define _GNU_SOURCE
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "loadgen.h"

struct options options = {
    .host = "127.0.0.1",
    .port = 5000,
    .scenario = "fanout",
    .event = "broadcast_message",
    .auth = "none",
    .token = "",
    .label = "",
    .phases = "sat",
    .conns = 1000,
    .members = 10,
    .senders = 1,
    .window = 1,
    .payload = 100,
    .concurrency = 64,
    .secs = 3,
    .warmup = 1,
    .drain = 5,
    .connect_timeout = 120,
};

static const struct {
    const char *name, **value, *choices; // the choices with commas around each
} TEXTS[] = {
    {"--host", &options.host, NULL},
    {"--scenario", &options.scenario, ",connect,fanout,echo,idle,"},
    {"--event", &options.event, NULL},
    {"--auth", &options.auth, ",none,emit,"},
    {"--token", &options.token, NULL},
    {"--label", &options.label, NULL},
    {"--phases", &options.phases, NULL},
};

static const struct {
    const char *name;
    int *value, least, most;
} COUNTS[] = {
    {"--port", &options.port, 1, 65535},
    {"--server-pid", &options.server_pid, 0, INT_MAX},
    {"--conns", &options.conns, 1, 100000},
    {"--members", &options.members, 1, 100000},
    {"--senders", &options.senders, 1, 1000},
    {"--window", &options.window, 1, 1000},
    {"--payload", &options.payload, 0, 8000}, // bytes of text, the sender's mark included
    {"--concurrency", &options.concurrency, 1, 100000},
};

static const struct {
    const char *name;
    double *value;
} SECONDS[] = {
    {"--secs", &options.secs},
    {"--warmup", &options.warmup},
    {"--drain", &options.drain},
    {"--connect-timeout", &options.connect_timeout},
};

#define COUNT_OF(table) (sizeof(table) / sizeof *(table))

static bool is_one_of(const char *choices, const char *value)
{
    const char *at = strstr(choices, value);
    size_t length = strlen(value);
    return at && length && at > choices && at[-1] == ',' && at[length] == ',';
}

static bool set_text(const char *name, const char *value)
{
    for (size_t i = 0; i < COUNT_OF(TEXTS); i++) {
        if (strcmp(TEXTS[i].name, name))
            continue;
        if (TEXTS[i].choices && !is_one_of(TEXTS[i].choices, value))
            die("%s: expected one of %s not %s", name, TEXTS[i].choices + 1, value);
        *TEXTS[i].value = value;
        return true;
    }
    return false;
}

static double to_number(const char *name, const char *text, double least, double most)
{
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end || !(value >= least && value <= most))
        die("%s: expected a number from %.0f to %.0f, not %s", name, least, most, text);
    return value;
}

static bool set_number(const char *name, const char *text)
{
    for (size_t i = 0; i < COUNT_OF(COUNTS); i++) {
        if (!strcmp(COUNTS[i].name, name)) {
            *COUNTS[i].value = (int)to_number(name, text, COUNTS[i].least, COUNTS[i].most);
            return true;
        }
    }
    for (size_t i = 0; i < COUNT_OF(SECONDS); i++) {
        if (!strcmp(SECONDS[i].name, name)) {
            *SECONDS[i].value = to_number(name, text, 0, 86400);
            return true;
        }
    }
    return false;
}

static void check_phases(void)
{
    char *phases = strdup(options.phases);
    if (strspn(phases, ",") == strlen(phases))
        die("--phases: there is none");
    for (char *phase = strtok(phases, ","); phase; phase = strtok(NULL, ","))
        if (strcmp(phase, "sat"))
            to_number("--phases", phase, 1, 1e9);
    free(phases);
}

static void check_options(void)
{
    if (!choose_event(options.event))
        die("--event: there is no %s", options.event);
    if (options.members > options.conns)
        die("--members: a room of %d is more than all connections", options.members);
    if (options.senders > options.members)
        options.senders = options.members;
    if (options.members < 2 && !strcmp(options.scenario, "fanout"))
        die("--members: a message needs somebody to arrive at");
    check_phases();
}

int main(int count, char **arguments)
{
    for (int i = 1; i < count; i += 2) {
        if (i + 1 == count)
            die("%s: the value is missing", arguments[i]);
        if (!set_text(arguments[i], arguments[i + 1]) &&
            !set_number(arguments[i], arguments[i + 1]))
            die("there is no option %s", arguments[i]);
    }
    check_options();
    aim_at(options.host, options.port);
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    run = (uint32_t)getpid() & 0xfff;
    first_room = (uint32_t)getpid() % 90 * 1000;
    return run_scenario() ? 0 : 1;
}

// What is measured, and how it is printed: for each phase one JSON object, on a line.
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "loadgen.h"

// A stretch of time, and what it took the server and this program.
struct period {
    struct usage before, after;
    double own_s, seconds;
    uint64_t began_ns, ended_ns;
};

static struct connection *connections;
static int rooms;

static void begin(struct period *period)
{
    forget_latencies();
    tally = (struct tally){0};
    period->before = used_by(options.server_pid);
    period->own_s = -own_cpu_s();
    period->began_ns = now();
    measuring = true;
}

static void end(struct period *period)
{
    period->after = used_by(options.server_pid);
    period->own_s += own_cpu_s();
    period->ended_ns = now();
    period->seconds = (double)(period->ended_ns - period->began_ns) / SECOND;
    measuring = false;
}

// Warms up and measures, by turns that wait until an instant at most.
static struct period measure(void (*turn_until)(uint64_t until_ns))
{
    struct period period;
    uint64_t begin_ns = from_now(options.warmup), end_ns;
    while (now() < begin_ns)
        turn_until(begin_ns);
    begin(&period);
    end_ns = from_now(options.secs);
    while (now() < end_ns)
        turn_until(end_ns);
    end(&period);
    return period;
}

// --- printing

static const char *separator = "{";

static void put_name(const char *name)
{
    printf("%s\"%s\":", separator, name);
    separator = ",";
}

static void put_count(const char *name, uint64_t count)
{
    put_name(name);
    printf("%llu", (unsigned long long)count);
}

static void put_figure(const char *name, double figure)
{
    put_name(name);
    printf("%.4f", figure);
}

// What is not printable ASCII becomes a question mark: it may be half a character.
static void put_text(const char *name, const char *text)
{
    put_name(name);
    putchar('"');
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            putchar('\\');
        putchar(*text < ' ' || *text > '~' ? '?' : *text);
    }
    putchar('"');
}

static double per(double amount, double of)
{
    return of > 0 ? amount / of : 0;
}

static void put_scenario(const char *phase)
{
    put_text("label", options.label);
    put_text("scenario", options.scenario);
    put_text("phase", phase);
    put_count("conns", (uint64_t)options.conns);
    put_count("rooms", (uint64_t)rooms);
    put_count("members", (uint64_t)options.members);
    put_count("senders", (uint64_t)options.senders);
    put_count("window", (uint64_t)options.window);
    put_count("payload", (uint64_t)options.payload);
}

static void put_period(const struct period *period)
{
    double cpu_s = period->after.cpu_s - period->before.cpu_s;
    double deliveries = (double)tally.deliveries;
    put_figure("secs", period->seconds);
    put_count("sent", tally.sent);
    put_count("deliveries", tally.deliveries);
    put_figure("del_per_s", per(deliveries, period->seconds));
    put_figure("cpu_s", cpu_s);
    put_figure("utime_s", period->after.user_s - period->before.user_s);
    put_figure("stime_s", period->after.system_s - period->before.system_s);
    put_figure("cpu_us_per_del", per(cpu_s * 1e6, deliveries));
    put_figure("cpu_share", per(cpu_s, period->seconds));
    put_figure("p50_us", quantile_us(0.5));
    put_figure("p99_us", quantile_us(0.99));
    put_figure("max_us", longest_us());
    put_figure("frame_bytes", per((double)tally.bytes, deliveries));
    put_figure("lg_cpu_share", per(period->own_s, period->seconds));
}

static void put_end(void)
{
    put_count("dead", (uint64_t)lost);
    put_count("err", errors);
    put_count("other", tally.other);
    put_count("eio_pings", tally.heartbeats);
    put_count("ws_pings", tally.websocket_pings);
    put_text("lasterr", first_error);
    puts("}");
    fflush(stdout);
    separator = "{";
}

// --- fan-out

// How many messages have not arrived at connections that are still there.
static uint64_t outstanding(void)
{
    uint64_t count = 0;
    for (int i = 0; i < sender_count; i++) {
        struct sender *s = &senders[i];
        struct connection *members = &connections[s->connection->room * (uint32_t)options.members];
        for (int j = 0; j < options.members; j++) {
            struct stream *stream = &members[j].streams[i % options.senders];
            if (&members[j] != s->connection && members[j].state != LOST)
                count += s->next - stream->next + stream->missing;
        }
    }
    return count;
}

// At a fixed rate, the senders take turns.
static struct {
    uint64_t interval_ns, due_ns, count;
} schedule;

static void turn_by_schedule(uint64_t until_ns)
{
    enum { BURST = 256 }; // who is late still has to receive
    uint64_t time_ns = now();
    for (int i = 0; i < BURST && schedule.due_ns <= time_ns; i++) {
        send_message(&senders[schedule.count++ % (uint64_t)sender_count], schedule.due_ns);
        schedule.due_ns += schedule.interval_ns;
    }
    turn(schedule.due_ns < until_ns ? schedule.due_ns : until_ns);
}

static void start_closed_loop(void)
{
    closed_loop = true;
    for (int i = 0; i < sender_count; i++)
        memset(senders[i].awaiting, 0, (size_t)options.window * sizeof *senders[i].awaiting);
    for (int j = 0; j < options.window; j++)
        for (int i = 0; i < sender_count; i++)
            send_message(&senders[i], now());
}

// Waits for what has not arrived; how much that was at first.
static uint64_t drain(void)
{
    uint64_t at_end = outstanding(), left = at_end, deadline_ns = from_now(options.drain);
    while (left && now() < deadline_ns) {
        uint64_t next_ns = from_now(0.02); // to count takes a while
        while (now() < next_ns)
            turn(next_ns);
        left = outstanding();
    }
    return at_end;
}

static void fan_out(const char *phase)
{
    struct period period;
    faults = (struct faults){0};
    double rate = strcmp(phase, "sat") ? atof(phase) : 0;
    if (rate > 0) {
        schedule.interval_ns = (uint64_t)((options.members - 1) / rate * SECOND);
        schedule.due_ns = now();
        period = measure(turn_by_schedule);
    } else {
        start_closed_loop();
        period = measure(turn);
        closed_loop = false;
    }
    uint64_t backlog = drain();
    put_scenario(phase);
    put_period(&period);
    put_count("backlog_at_end", backlog);
    put_figure("drain_s", (double)(now() - period.ended_ns) / SECOND);
    put_count("missing", outstanding());
    put_count("dup", faults.doubled);
    put_count("out_of_order", faults.late);
    put_count("gap", faults.skipped);
    put_count("misrouted", faults.misrouted);
    put_count("stale", stale);
    put_figure("rss_mb", period.after.rss_bytes / 1048576);
    put_count("threads", (uint64_t)period.after.threads);
    put_end();
}

static void fan_out_phases(void)
{
    char *phases = strdup(options.phases);
    for (char *phase = strtok(phases, ","); phase; phase = strtok(NULL, ","))
        fan_out(phase);
    free(phases);
}

// --- the other scenarios

static void echo(void)
{
    for (int i = 0; i < options.conns; i++)
        connections[i].pinged_ns = allocate((size_t)options.window, sizeof(uint64_t));
    closed_loop = true;
    for (int j = 0; j < options.window; j++)
        for (int i = 0; i < options.conns; i++)
            send_ping(&connections[i]);
    struct period period = measure(turn);
    closed_loop = false;
    put_scenario("sat");
    put_period(&period);
    put_end();
}

static void idle(const struct usage *without)
{
    struct period period = measure(turn);
    double cpu_s = period.after.cpu_s - period.before.cpu_s;
    double grown = period.after.rss_bytes - without->rss_bytes;
    put_scenario("idle");
    put_period(&period);
    put_figure("rss0_mb", without->rss_bytes / 1048576);
    put_figure("rss_mb", period.after.rss_bytes / 1048576);
    put_figure("rss_kb_per_conn", grown / 1024 / options.conns);
    put_count("threads", (uint64_t)period.after.threads);
    put_figure("cpu_us_per_heartbeat", per(cpu_s * 1e6, (double)tally.heartbeats));
    put_count("alive", (uint64_t)joined);
    put_end();
}

static void put_connect(struct period *period)
{
    double cpu_s = period->after.cpu_s - period->before.cpu_s;
    period->seconds = joined ? (double)(last_join_ns - period->began_ns) / SECOND : 0;
    tally.deliveries = (uint64_t)joined;
    tally.sent = (uint64_t)options.conns;
    put_scenario("storm");
    put_period(period);
    put_count("ready", (uint64_t)joined);
    put_figure("connects_per_s", per(joined, period->seconds));
    put_figure("cpu_us_per_connect", per(cpu_s * 1e6, joined));
    put_end();
}

// --- coming and going

static void prepare(void)
{
    rooms = options.conns / options.members;
    options.conns = rooms * options.members;
    sender_count = rooms * options.senders;
    connections = allocate((size_t)options.conns, sizeof *connections);
    senders = allocate((size_t)sender_count, sizeof *senders);
    for (int i = 0; i < options.conns; i++) {
        struct connection *c = &connections[i];
        c->index = (uint32_t)i;
        c->room = (uint32_t)(i / options.members);
        c->streams = allocate((size_t)options.senders, sizeof *c->streams);
    }
    for (int i = 0; i < sender_count; i++) {
        struct sender *s = &senders[i];
        s->index = (uint32_t)i;
        s->connection = &connections[i / options.senders * options.members + i % options.senders];
        s->awaiting = allocate((size_t)options.window, sizeof *s->awaiting);
        compose(s);
    }
}

static void connect_all(void)
{
    uint64_t deadline_ns = from_now(options.connect_timeout);
    int opened = 0;
    while (joined + lost < options.conns && now() < deadline_ns) {
        while (opened < options.conns && connecting < options.concurrency) {
            connecting++;
            open_connection(&connections[opened++]);
        }
        turn(from_now(0.1));
    }
    if (joined + lost < options.conns)
        note_error("connect timeout", 15);
}

static void say_goodbye_to_all(void)
{
    for (int i = 0; i < options.conns; i++)
        say_goodbye(&connections[i]);
    uint64_t deadline_ns = from_now(0.3);
    while (joined && now() < deadline_ns)
        turn(deadline_ns);
}

bool run_scenario(void)
{
    struct period coming;
    prepare();
    begin(&coming);
    connect_all();
    end(&coming);
    bool all_came = joined == options.conns;
    if (!strcmp(options.scenario, "connect")) {
        put_connect(&coming);
    } else if (!all_came) {
        put_scenario("setup-failed");
        put_count("ready", (uint64_t)joined);
        put_end();
    } else if (!strcmp(options.scenario, "echo")) {
        echo();
    } else if (!strcmp(options.scenario, "idle")) {
        idle(&coming.before);
    } else {
        fan_out_phases();
    }
    say_goodbye_to_all();
    return all_came;
}

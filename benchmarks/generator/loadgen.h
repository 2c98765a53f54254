// What the parts of the load generator know of each other.
#ifndef LOADGEN_H
#define LOADGEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SECOND = 1000000000, LARGEST_TEXT = 16 << 10 };

// --- main.c: the command line

struct options {
    const char *host, *scenario, *auth, *token, *event, *label, *phases;
    int port, server_pid, conns, members, senders, window, payload, concurrency;
    double secs, warmup, drain, connect_timeout;
};
extern struct options options;

// --- scenarios.c: what is measured, and how it is printed

bool run_scenario(void); // opens connections, measures and prints; whether all came

// --- clock.c: time, latencies, and what a process used

struct usage {
    double cpu_s, user_s, system_s, rss_bytes;
    long threads;
};

uint64_t now(void); // nanoseconds since the program started
uint64_t from_now(double seconds);
void note_latency(uint64_t ns);
double quantile_us(double share);
double longest_us(void);
void forget_latencies(void);
struct usage used_by(int pid); // and by its children; nothing when it is 0
double own_cpu_s(void);

// --- websocket.c: connections, and text in both directions

struct bytes {
    char *data;
    size_t used, space;
};

enum state { UNOPENED, CONNECTING, UPGRADING, UPGRADED, GREETED, PROVING, JOINING, JOINED, LOST };

struct connection {
    int fd;
    enum state state;
    bool blocked;                  // the kernel has no room for what is in `out`
    int opcode;                    // of the unfinished message
    struct bytes in, message, out; // an unfinished frame, an unfinished message, what is unsent
    uint32_t index, room;
    uint64_t started_ns;
    struct stream *streams; // one for each sender of its room
    uint64_t *pinged_ns;    // when each ping under way was sent, in a ring
    uint32_t pings, pongs;
};

void aim_at(const char *host, int port); // refuses what is not the loopback
void open_connection(struct connection *c);
void send_text(struct connection *c, const char *text, size_t length);
void send_format(struct connection *c, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void say_goodbye(struct connection *c);
void lose(struct connection *c, const char *why);
void turn(uint64_t until_ns); // the loop, once: waits until an instant at most

// --- client.c: what a client of Socket.IO does with a text, and what is counted

// What of one sender has arrived at one connection.
struct stream {
    uint32_t next;    // all before it have arrived, or are missing
    uint32_t missing; // how many of those before `next` have not arrived
    uint64_t recent;  // bit i is set when message `next - 1 - i` has arrived
};

struct tally { // of a measured period
    uint64_t sent, deliveries, bytes, heartbeats, websocket_pings, other;
};
struct faults { // of a phase, warm-up and draining included
    uint64_t doubled, late, skipped, misrouted;
};
extern struct tally tally;
extern struct faults faults;
extern uint64_t errors, stale;
extern int connecting, joined, lost; // connections
extern uint64_t last_join_ns;
extern bool measuring;   // what arrives counts
extern bool closed_loop; // what arrives is followed by the next
extern char first_error[256];

void on_text(struct connection *c, const char *text, size_t length);
void on_lost(struct connection *c, const char *why);
void note_error(const char *text, size_t length);
void send_ping(struct connection *c);
struct sender;
void send_message(struct sender *s, uint64_t due_ns);

// --- messages.c: messages that name their sender, their number and their time

struct sender {
    struct connection *connection;
    uint32_t index;
    uint32_t next;      // the number of its next message
    uint32_t *awaiting; // how many members lack each message under way, in a ring
    char *text;         // its message; its number and its time are at `varies`
    size_t length, varies;
};

struct mark {
    uint32_t run, sender, number;
    uint64_t due_ns;
};

extern struct sender *senders;
extern int sender_count;
// By these, what an earlier run on the same server left behind is told apart, and goes elsewhere.
extern uint32_t run, first_room;

bool choose_event(const char *name);
void compose(struct sender *s);
void date(struct sender *s, uint64_t due_ns); // puts number and time into its message
bool is_message(const char *text, size_t length);
bool find_mark(struct mark *mark, const char *text, size_t length);

// --- memory.c

_Noreturn void die(const char *format, ...) __attribute__((format(printf, 1, 2)));
void *allocate(size_t count, size_t size);
void reserve(struct bytes *bytes, size_t space);
void append(struct bytes *bytes, const char *data, size_t length);
bool begins(const char *text, size_t length, const char *with);

#endif

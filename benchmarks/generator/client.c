// A client of Socket.IO: how it comes, what it answers, and the count of what arrives.
#include <stdio.h>
#include <string.h>

#include "loadgen.h"

struct tally tally;
struct faults faults;
uint64_t errors, stale, last_join_ns;
int connecting, joined, lost;
bool measuring, closed_loop;
char first_error[256];

// The first error is the one that explains the others.
void note_error(const char *text, size_t length)
{
    if (!first_error[0])
        snprintf(first_error, sizeof first_error, "%.*s", (int)(length < 200 ? length : 200), text);
}

void on_lost(struct connection *c, const char *why)
{
    char text[128];
    note_error(text, (size_t)snprintf(text, sizeof text, "connection %u: %s", c->index, why));
    *(c->state == JOINED ? &joined : &connecting) -= 1;
    lost++;
}

// Whether a message arrives for the first time.
static bool is_new(struct stream *stream, uint32_t number)
{
    if (number >= stream->next) {
        uint32_t skipped = number - stream->next;
        stream->recent = skipped < 63 ? stream->recent << (skipped + 1) | 1 : 1;
        stream->missing += skipped;
        stream->next = number + 1;
        faults.skipped += skipped;
        return true;
    }
    uint32_t back = stream->next - 1 - number;
    bool seen = back < 64 && stream->recent >> back & 1;
    if (seen || !stream->missing) {
        faults.doubled++;
        return false;
    }
    if (back < 64)
        stream->recent |= UINT64_C(1) << back;
    stream->missing--;
    faults.late++;
    return true;
}

static void on_message(struct connection *c, const char *text, size_t length)
{
    struct mark mark;
    uint64_t time_ns = now();
    if (!find_mark(&mark, text, length)) {
        tally.other++;
        return;
    }
    if (mark.run != run) {
        stale++;
        return;
    }
    struct sender *s = mark.sender < (uint32_t)sender_count ? &senders[mark.sender] : NULL;
    if (!s || s->connection == c || s->connection->room != c->room || mark.number >= s->next) {
        faults.misrouted++;
        return;
    }
    if (!is_new(&c->streams[mark.sender % (uint32_t)options.senders], mark.number))
        return;
    if (measuring) {
        tally.deliveries++;
        tally.bytes += length;
        note_latency(time_ns > mark.due_ns ? time_ns - mark.due_ns : 0);
    }
    uint32_t *awaiting = &s->awaiting[mark.number % (uint32_t)options.window];
    if (closed_loop && *awaiting && --*awaiting == 0)
        send_message(s, now());
}

void send_message(struct sender *s, uint64_t due_ns)
{
    date(s, due_ns);
    if (closed_loop)
        s->awaiting[s->next % (uint32_t)options.window] = (uint32_t)options.members - 1;
    s->next++;
    tally.sent++;
    send_text(s->connection, s->text, s->length);
}

void send_ping(struct connection *c)
{
    c->pinged_ns[c->pings++ % (uint32_t)options.window] = now();
    tally.sent++;
    send_format(c, "42[\"ping\"]");
}

static void on_pong(struct connection *c)
{
    if (c->pongs == c->pings)
        return;
    uint64_t pinged_ns = c->pinged_ns[c->pongs++ % (uint32_t)options.window];
    if (measuring) {
        tally.deliveries++;
        note_latency(now() - pinged_ns);
    }
    if (closed_loop)
        send_ping(c);
}

static void join(struct connection *c)
{
    c->state = JOINING;
    send_format(c, "42[\"join_room\",{\"room_id\":\"room-%06u\"}]", first_room + c->room);
}

static void on_joined(struct connection *c)
{
    c->state = JOINED;
    joined++;
    connecting--;
    last_join_ns = now();
    if (measuring)
        note_latency(last_join_ns - c->started_ns);
}

// The steps of a connection that comes, each after the server's answer to the one before.
static bool is_step(struct connection *c, const char *text, size_t length)
{
    if (c->state == UPGRADED && begins(text, length, "0")) {
        c->state = GREETED;
        send_text(c, "40", 2);
    } else if (c->state == GREETED && begins(text, length, "40")) {
        if (strcmp(options.auth, "emit")) {
            join(c);
        } else {
            c->state = PROVING;
            send_format(c, "42[\"authenticate\",{\"token\":\"%s\"}]", options.token);
        }
    } else if (c->state == PROVING && begins(text, length, "42[\"authenticated\"")) {
        join(c);
    } else if (c->state == JOINING && begins(text, length, "42[\"room_joined\"")) {
        on_joined(c);
    } else {
        return false;
    }
    return true;
}

void on_text(struct connection *c, const char *text, size_t length)
{
    if (c->state == JOINED && is_message(text, length)) {
        on_message(c, text, length);
    } else if (c->pinged_ns && begins(text, length, "42[\"pong\"")) {
        on_pong(c);
    } else if (begins(text, length, "2")) {
        tally.heartbeats++;
        send_text(c, "3", 1);
    } else if (begins(text, length, "42[\"error\"") || begins(text, length, "42[\"auth_error\"")) {
        errors++;
        note_error(text, length);
        if (c->state != JOINED)
            lose(c, "refused");
    } else if (begins(text, length, "44")) {
        note_error(text, length);
        lose(c, "refused");
    } else if (!is_step(c, text, length)) {
        tally.other++;
    }
}

// Messages that name their sender, their number and the time at which they were due.
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>

#include "loadgen.h"

// A text names the run and the sender (8 hexadecimal digits), the number (8) and the time (16)
// between two @; a cursor, which has no text, has all of them as five numbers.
enum { MARK = 34 };

// What is sent, and by what name the others hear of it.
static const struct event {
    const char *name, *heard;
} EVENTS[] = {
    {"broadcast_message", "42[\"room_message\""},
    {"cursor_update", "42[\"cursor_moved\""},
    {"collaboration_operation", "42[\"collaboration_update\""},
};
static const struct event *event;
static bool is_cursor, is_edit;

struct sender *senders;
int sender_count;
uint32_t run, first_room;

static void put_hex(char *to, uint64_t value, int digits)
{
    while (digits--) {
        to[digits] = "0123456789abcdef"[value & 15];
        value >>= 4;
    }
}

static uint64_t hex(const char *from, int digits)
{
    uint64_t value = 0;
    for (; digits--; from++)
        value = value << 4 | (uint64_t)(*from <= '9' ? *from - '0' : (*from | 32) - 'a' + 10);
    return value;
}

// The next whole number of a text; moves behind it.
static uint64_t number(const char **at, const char *end)
{
    uint64_t value = 0;
    while (*at < end && (**at < '0' || **at > '9'))
        ++*at;
    while (*at < end && **at >= '0' && **at <= '9')
        value = value * 10 + (uint64_t)(*(*at)++ - '0');
    return value;
}

bool choose_event(const char *name)
{
    for (size_t i = 0; i < sizeof EVENTS / sizeof *EVENTS; i++)
        if (!strcmp(EVENTS[i].name, name))
            event = &EVENTS[i];
    is_cursor = event == &EVENTS[1];
    is_edit = event == &EVENTS[2];
    return event != NULL;
}

// All of a message but its number and its time, which `date` puts in.
void compose(struct sender *s)
{
    char *text = s->text = allocate(1, LARGEST_TEXT);
    int n = sprintf(text, "42[\"%s\",{\"room_id\":\"room-%06u\",", event->name,
                    first_room + s->connection->room);
    if (is_cursor) {
        n += sprintf(text + n, "\"position\":{\"line\":%u,\"column\":%u,\"selectionStart\":", run,
                     s->index);
        s->varies = (size_t)n;
        return;
    }
    if (is_edit)
        n += sprintf(text + n, "\"operation\":{\"type\":\"insert\",\"position\":0,\"content\":");
    else
        n += sprintf(text + n, "\"message\":");
    n += sprintf(text + n, "\"@%08x", run << 20 | s->index);
    s->varies = (size_t)n;
    n += sprintf(text + n, "%024d@", 0);
    for (int i = MARK; i < options.payload && !is_edit; i++)
        text[n++] = 'x';
    n += sprintf(text + n, is_edit ? "\"}}]" : "\"}]");
    s->length = (size_t)n;
}

void date(struct sender *s, uint64_t due_ns)
{
    char *at = s->text + s->varies;
    if (is_cursor) {
        at += sprintf(at, "%u,\"selectionEnd\":%u,\"offset\":%u}}]", s->next,
                      (uint32_t)(due_ns / SECOND), (uint32_t)(due_ns % SECOND / 1000));
        s->length = (size_t)(at - s->text);
    } else {
        put_hex(at, s->next, 8);
        put_hex(at + 8, due_ns, 16);
    }
}

bool is_message(const char *text, size_t length)
{
    return begins(text, length, event->heard);
}

static bool find_numbers(struct mark *mark, const char *text, size_t length)
{
    const char *end = text + length, *at = memmem(text, length, "\"position\":", 11);
    if (!at)
        return false;
    mark->run = (uint32_t)number(&at, end);
    mark->sender = (uint32_t)number(&at, end);
    mark->number = (uint32_t)number(&at, end);
    mark->due_ns = number(&at, end) * SECOND;
    mark->due_ns += number(&at, end) * 1000;
    return true;
}

bool find_mark(struct mark *mark, const char *text, size_t length)
{
    if (is_cursor)
        return find_numbers(mark, text, length);
    const char *at = memchr(text, '@', length);
    if (!at || text + length - at < MARK || at[MARK - 1] != '@')
        return false;
    uint32_t name = (uint32_t)hex(at + 1, 8);
    mark->run = name >> 20;
    mark->sender = name & 0xfffff;
    mark->number = (uint32_t)hex(at + 9, 8);
    mark->due_ns = hex(at + 17, 16);
    return true;
}

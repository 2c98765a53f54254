// WebSocket on epoll: connections, and text in both directions.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "loadgen.h"

enum { READ_BYTES = 256 << 10, LARGEST_FRAME = 16 << 20 };
enum { TEXT = 1, CLOSE = 8, PING = 9, PONG = 10 }; // opcodes

static struct sockaddr_in address;
static int epoll_fd;

void lose(struct connection *c, const char *why)
{
    if (c->state == LOST)
        return;
    on_lost(c, why);
    c->state = LOST;
    close(c->fd); // epoll forgets it as well
}

static void await_room(struct connection *c, bool blocked)
{
    if (c->blocked == blocked)
        return;
    c->blocked = blocked;
    struct epoll_event wanted = {.events = EPOLLIN | (blocked ? EPOLLOUT : 0), .data.ptr = c};
    epoll_ctl(epoll_fd, EPOLL_CTL_MOD, c->fd, &wanted);
}

// How much of it the kernel took; a connection that fails is lost, and took all.
static size_t send_some(struct connection *c, const char *data, size_t length)
{
    size_t done = 0;
    while (done < length) {
        ssize_t sent = send(c->fd, data + done, length - done, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent >= 0) {
            done += (size_t)sent;
        } else if (errno == EAGAIN) {
            break;
        } else if (errno != EINTR) {
            lose(c, strerror(errno));
            return length;
        }
    }
    return done;
}

static void send_bytes(struct connection *c, const char *data, size_t length)
{
    size_t done = c->out.used ? 0 : send_some(c, data, length);
    if (done == length || c->state == LOST)
        return;
    append(&c->out, data + done, length - done);
    await_room(c, true);
}

static void send_waiting(struct connection *c)
{
    size_t done = send_some(c, c->out.data, c->out.used);
    c->out.used -= done;
    memmove(c->out.data, c->out.data + done, c->out.used);
    if (c->state != LOST)
        await_room(c, c->out.used > 0);
}

static uint32_t next_mask(void)
{
    static uint32_t x = 0x12345678; // xorshift; it need not be unguessable here
    x ^= x << 13;
    x ^= x >> 17;
    return x ^= x << 5;
}

// Eight bytes at a time: that is most of what sending costs before the kernel has it.
static void mask(char *to, const char *from, size_t length, uint32_t key)
{
    uint64_t keys = (uint64_t)key << 32 | key, eight;
    size_t i = 0;
    for (; i + 8 <= length; i += 8) {
        memcpy(&eight, from + i, 8);
        eight ^= keys;
        memcpy(to + i, &eight, 8);
    }
    for (; i < length; i++)
        to[i] = (char)(from[i] ^ ((const char *)&key)[i & 3]);
}

static void send_frame(struct connection *c, int opcode, const char *payload, size_t length)
{
    static char frame[LARGEST_TEXT + 8];
    size_t at = 0;
    uint32_t key = next_mask();
    if (length > LARGEST_TEXT)
        die("too long to send: %zu bytes", length);
    frame[at++] = (char)(0x80 | opcode);
    if (length < 126) {
        frame[at++] = (char)(0x80 | length);
    } else {
        frame[at++] = (char)(0x80 | 126);
        frame[at++] = (char)(length >> 8);
        frame[at++] = (char)length;
    }
    memcpy(frame + at, &key, sizeof key);
    mask(frame + at + sizeof key, payload, length, key);
    send_bytes(c, frame, at + sizeof key + length);
}

void send_text(struct connection *c, const char *text, size_t length)
{
    send_frame(c, TEXT, text, length);
}

void send_format(struct connection *c, const char *format, ...)
{
    char text[LARGEST_TEXT];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if ((size_t)length >= sizeof text)
        die("too long to send: %d bytes", length);
    send_frame(c, TEXT, text, (size_t)length);
}

void say_goodbye(struct connection *c)
{
    if (c->state > UPGRADING && c->state != LOST)
        send_frame(c, CLOSE, "\x03\xe8", 2); // 1000
}

// A part of a message, the last one or not; one that is whole is read where it lies.
static void on_part(struct connection *c, int opcode, bool final, const char *part, size_t length)
{
    if (opcode)
        c->opcode = opcode;
    if (!final || !opcode) {
        if (c->message.used + length > LARGEST_FRAME) {
            lose(c, "too large a message");
            return;
        }
        append(&c->message, part, length);
        part = c->message.data;
        length = c->message.used;
    }
    if (!final)
        return;
    c->message.used = 0;
    if (c->opcode == TEXT)
        on_text(c, part, length);
    else
        tally.other++;
}

static void on_frame(struct connection *c, int opcode, bool final, const char *data, size_t length)
{
    if (opcode >= CLOSE && length > 125) {
        lose(c, "too large a frame");
    } else if (opcode == CLOSE) {
        send_frame(c, CLOSE, data, length >= 2 ? 2 : 0);
        lose(c, "closed by the server");
    } else if (opcode == PING) {
        tally.websocket_pings++;
        send_frame(c, PONG, data, length);
    } else if (opcode != PONG) {
        on_part(c, opcode, final, data, length);
    }
}

// The bytes that the answer to the upgrade takes up, and none while it is unfinished.
static size_t take_answer(struct connection *c, const char *data, size_t length)
{
    const char *end = memmem(data, length, "\r\n\r\n", 4);
    if (!end)
        return 0;
    if (!begins(data, length, "HTTP/1.1 101 ")) {
        note_error(data, (size_t)((const char *)memchr(data, '\r', length) - data));
        lose(c, "not upgraded");
        return 0;
    }
    c->state = UPGRADED;
    return (size_t)(end + 4 - data);
}

// The bytes that the first frame takes up, and none while it is unfinished.
static size_t take_frame(struct connection *c, const char *data, size_t length)
{
    const unsigned char *head = (const unsigned char *)data;
    if (length < 2)
        return 0;
    size_t head_length = head[1] < 126 ? 2 : head[1] == 126 ? 4 : 10;
    if (length < head_length)
        return 0;
    uint64_t payload = head_length == 2 ? head[1] : 0;
    for (size_t i = 2; i < head_length; i++)
        payload = payload << 8 | head[i];
    if (head[1] > 127 || payload > LARGEST_FRAME) {
        lose(c, head[1] > 127 ? "a masked frame" : "too large a frame");
        return 0;
    }
    if (length - head_length < payload)
        return 0;
    on_frame(c, head[0] & 15, head[0] >> 7, data + head_length, payload);
    return head_length + payload;
}

// Reads much at once into one buffer for all, behind what the connection had left over.
static void receive(struct connection *c)
{
    static struct bytes all;
    size_t before = c->in.used, done = 0, taken;
    reserve(&all, before + READ_BYTES);
    ssize_t got = recv(c->fd, all.data + before, READ_BYTES, MSG_DONTWAIT);
    if (got <= 0) {
        if (got == 0 || (errno != EAGAIN && errno != EINTR))
            lose(c, got ? strerror(errno) : "ended by the server");
        return;
    }
    if (before)
        memcpy(all.data, c->in.data, before);
    size_t length = before + (size_t)got;
    do {
        const char *rest = all.data + done;
        taken = c->state == UPGRADING ? take_answer(c, rest, length - done)
                                      : take_frame(c, rest, length - done);
        done += taken;
    } while (taken && c->state != LOST);
    c->in.used = 0;
    append(&c->in, all.data + done, length - done);
}

void aim_at(const char *host, int port)
{
    if (inet_pton(AF_INET, host, &address.sin_addr) != 1)
        die("host: expected 127.0.0.1 or the like, not %s", host);
    if (ntohl(address.sin_addr.s_addr) >> 24 != 127)
        die("host: %s is not this machine's loopback", host);
    address.sin_family = AF_INET;
    address.sin_port = htons((uint16_t)port);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (epoll_fd < 0)
        die("epoll: %s", strerror(errno));
}

void open_connection(struct connection *c)
{
    int on = 1;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0)
        die("socket: %s", strerror(errno));
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    c->state = CONNECTING;
    c->blocked = true;
    c->started_ns = now();
    struct epoll_event wanted = {.events = EPOLLIN | EPOLLOUT, .data.ptr = c};
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &wanted);
    if (connect(c->fd, (struct sockaddr *)&address, sizeof address) < 0 && errno != EINPROGRESS)
        lose(c, strerror(errno));
}

static void upgrade(struct connection *c)
{
    char request[512], host[INET_ADDRSTRLEN];
    int error = 0;
    socklen_t size = sizeof error;
    getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &size);
    if (error) {
        lose(c, strerror(error));
        return;
    }
    c->state = UPGRADING;
    await_room(c, false);
    inet_ntop(AF_INET, &address.sin_addr, host, sizeof host);
    int length = snprintf(request, sizeof request,
                          "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\n"
                          "Host: %s:%d\r\nOrigin: http://%s:%d\r\n"
                          "Upgrade: websocket\r\nConnection: Upgrade\r\n"
                          "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                          "Sec-WebSocket-Version: 13\r\n\r\n",
                          host, ntohs(address.sin_port), host, ntohs(address.sin_port));
    send_bytes(c, request, (size_t)length);
}

// One turn of the loop, which waits for something to happen until an instant at most.
void turn(uint64_t until_ns)
{
    static struct epoll_event events[512];
    uint64_t time_ns = now(), left_ns = until_ns > time_ns ? until_ns - time_ns : 0;
    struct timespec left = {(time_t)(left_ns / SECOND), (long)(left_ns % SECOND)};
    int count = epoll_pwait2(epoll_fd, events, 512, &left, NULL);
    if (count < 0 && errno != EINTR)
        die("epoll: %s", strerror(errno));
    for (int i = 0; i < count; i++) {
        struct connection *c = events[i].data.ptr;
        if (c->state == CONNECTING) {
            upgrade(c);
            continue;
        }
        if (c->state != LOST && events[i].events & EPOLLOUT)
            send_waiting(c);
        if (c->state != LOST && events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))
            receive(c);
    }
}

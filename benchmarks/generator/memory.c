// Memory that is there or ends the program.
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "loadgen.h"

_Noreturn void die(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("loadgen: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(2);
}

void *allocate(size_t count, size_t size)
{
    void *memory = calloc(count, size);
    if (!memory)
        die("no memory");
    return memory;
}

void reserve(struct bytes *bytes, size_t space)
{
    if (space <= bytes->space)
        return;
    bytes->space = space + space / 2;
    bytes->data = realloc(bytes->data, bytes->space);
    if (!bytes->data)
        die("no memory");
}

void append(struct bytes *bytes, const char *data, size_t length)
{
    if (!length)
        return;
    reserve(bytes, bytes->used + length);
    memcpy(bytes->data + bytes->used, data, length);
    bytes->used += length;
}

bool begins(const char *text, size_t length, const char *with)
{
    size_t wanted = strlen(with);
    return length >= wanted && !memcmp(text, with, wanted);
}

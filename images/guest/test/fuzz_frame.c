/*
 * Mutates valid conversations and feeds them to the parsers the guest reads its host with. Bounded by its argument; built
 * with the sanitizers, each input in an allocation of exactly its size, so that one byte too far is seen. A file named as
 * second argument is parsed once instead, to look at a single input.
 */
#include <string.h>

#include "../src/frame.h"
#include "../src/spec.h"
#include "check.h"

enum { MAX_INPUT = 4096 };

static uint64_t state = 88172645463325252u;

static uint32_t random_below(uint32_t bound) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)(state >> 11) % bound;
}

/* Reads every frame, and every field of it as its type has them; counts the whole ones. */
static unsigned consume(const uint8_t *bytes, size_t length) {
    static struct spec spec;
    static char *const base[] = {(char *)"PATH=/bin", NULL};
    unsigned whole = 0;
    struct frame frame;
    while (frame_next(bytes, length, &frame) == FRAME_WHOLE) {
        CHECK(frame.length <= length - HEADER_BYTES);
        if (frame.type == HOST_EXEC && spec_read(&frame, base, &spec)) {
            size_t texts = strlen(spec.cwd);
            for (char **at = spec.argv; *at != NULL; at++) texts += strlen(*at);
            for (char **at = spec.env; *at != NULL; at++) texts += strlen(*at);
            CHECK(texts <= frame.length + sizeof "PATH=/bin");
        }
        struct cursor cursor = cursor_over(&frame);
        while (!cursor.bad && cursor.at < cursor.end) take_text(&cursor);
        cursor = cursor_over(&frame);
        while (!cursor_done(&cursor) && !cursor.bad) take_u16(&cursor);
        bytes += HEADER_BYTES + frame.length;
        length -= HEADER_BYTES + frame.length;
        whole++;
    }
    return whole;
}

static size_t add_frame(uint8_t *bytes, size_t at, uint8_t type, const void *payload, uint32_t length) {
    frame_header(bytes + at, type, type == HOST_KILL_ALL ? 0 : 1 + random_below(9), length);
    if (length > 0) memcpy(bytes + at + HEADER_BYTES, payload, length);
    return at + HEADER_BYTES + length;
}

/* A conversation that is valid until it is mutated. */
static size_t compose(uint8_t *bytes) {
    static const char texts[] = "/workspace\0sh\0-c\0echo\0A=1\0B=two\0";
    static const uint8_t any[64] = {0};
    uint8_t exec[13 + sizeof texts];
    uint8_t *at = put_u16(put_u16(put_u8(exec, (uint8_t)random_below(4)), 80), 24);
    at = put_u16(put_u16(put_u32(at, 1 << 20), 3), 2);
    memcpy(at, texts, sizeof texts - 1);
    size_t length = add_frame(bytes, 0, HOST_EXEC, exec, 13 + sizeof texts - 1);
    for (uint32_t frames = random_below(6); frames > 0; frames--) {
        static const struct {
            uint8_t type;
            uint8_t length;
        } kinds[] = {{HOST_DATA, 40}, {HOST_END, 0}, {HOST_CREDIT, 4}, {HOST_SIGNAL, 1}, {HOST_KILL_ALL, 0},
                     {HOST_GET, 20},  {HOST_PUT, 9}, {HOST_RENAME, 6}, {HOST_RESIZE, 4}, {HOST_CANCEL, 0},
                     {HOST_LISTEN, 8}, {HOST_CONNECT, 6}, {HOST_CLOSE, 1}};
        uint32_t kind = random_below(sizeof kinds / sizeof *kinds);
        length = add_frame(bytes, length, kinds[kind].type, any, kinds[kind].length);
    }
    return length;
}

static size_t mutate(uint8_t *bytes, size_t length) {
    for (uint32_t changes = random_below(6); changes > 0 && length > 0; changes--) {
        uint32_t at = random_below((uint32_t)length);
        switch (random_below(5)) {
        case 0: bytes[at] = (uint8_t)random_below(256); break;
        case 1: bytes[at] ^= (uint8_t)(1u << random_below(8)); break;
        case 2: bytes[at] = random_below(2) == 0 ? 0 : 0xff; break;
        case 3: length = at; break;
        default: memmove(bytes + at, bytes + at / 2, length - at);
        }
    }
    return length;
}

static void parse_file(const char *name) {
    FILE *file = fopen(name, "rb");
    CHECK(file != NULL);
    uint8_t *bytes = malloc(1 << 22);
    CHECK(bytes != NULL);
    size_t length = fread(bytes, 1, 1 << 22, file);
    fclose(file);
    printf("%u frames\n", consume(bytes, length));
    free(bytes);
}

int main(int argc, char **argv) {
    if (argc > 2) {
        parse_file(argv[2]);
        return 0;
    }
    unsigned long rounds = argc > 1 ? strtoul(argv[1], NULL, 10) : 100000, whole = 0;
    for (unsigned long i = 0; i < rounds; i++) {
        uint8_t bytes[MAX_INPUT];
        size_t length = mutate(bytes, compose(bytes));
        uint8_t *exact = malloc(length + (length == 0));
        CHECK(exact != NULL);
        memcpy(exact, bytes, length);
        whole += consume(exact, length);
        free(exact);
    }
    printf("fuzz_frame: %lu inputs, %lu whole frames, no finding\n", rounds, whole);
    return 0;
}

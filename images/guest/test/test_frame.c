/* The frame parser: what it takes, what it refuses, and that it asks for no byte it was not given. */
#include <string.h>

#include "../src/frame.h"
#include "check.h"

static enum frame_result parse(uint8_t type, uint32_t id, uint32_t length, size_t given, struct frame *frame) {
    uint8_t *bytes = calloc(1, given > HEADER_BYTES ? given : HEADER_BYTES);
    CHECK(bytes != NULL);
    frame_header(bytes, type, id, length);
    enum frame_result result = frame_next(bytes, given, frame);
    free(bytes);
    return result;
}

static void whole_and_partial(void) {
    struct frame frame;
    for (size_t given = 0; given < HEADER_BYTES + 4; given++)
        CHECK(parse(HOST_CREDIT, 7, 4, given, &frame) == FRAME_PARTIAL);
    CHECK(parse(HOST_CREDIT, 7, 4, HEADER_BYTES + 4, &frame) == FRAME_WHOLE);
    CHECK(frame.type == HOST_CREDIT && frame.id == 7 && frame.length == 4);
    CHECK(parse(HOST_CREDIT, 0xffffffff, 4, HEADER_BYTES + 10, &frame) == FRAME_WHOLE);
    CHECK(frame.id == 0xffffffff && frame.length == 4);
}

static void lengths_are_bounded_by_type(void) {
    struct frame frame;
    CHECK(parse(HOST_DATA, 1, MAX_PAYLOAD, HEADER_BYTES, &frame) == FRAME_PARTIAL);
    CHECK(parse(HOST_DATA, 1, MAX_PAYLOAD + 1, HEADER_BYTES, &frame) == FRAME_BAD);
    CHECK(parse(HOST_DATA, 1, 0, HEADER_BYTES, &frame) == FRAME_BAD);
    CHECK(parse(HOST_EXEC, 1, MAX_EXEC_PAYLOAD, HEADER_BYTES, &frame) == FRAME_PARTIAL);
    CHECK(parse(HOST_EXEC, 1, MAX_EXEC_PAYLOAD + 1, HEADER_BYTES, &frame) == FRAME_BAD);
    CHECK(parse(HOST_END, 1, 1, HEADER_BYTES, &frame) == FRAME_BAD);
    CHECK(parse(HOST_CREDIT, 1, 3, HEADER_BYTES, &frame) == FRAME_BAD);
    CHECK(parse(HOST_STAT, 1, 0xffffffff, HEADER_BYTES, &frame) == FRAME_BAD);
    CHECK(parse(HOST_LISTEN, 1, 4, HEADER_BYTES, &frame) == FRAME_BAD);
    CHECK(parse(HOST_LISTEN, 1, 4 + 2 * MAX_PORTS, HEADER_BYTES, &frame) == FRAME_PARTIAL);
    CHECK(parse(HOST_LISTEN, 1, 6 + 2 * MAX_PORTS, HEADER_BYTES, &frame) == FRAME_BAD);
    CHECK(parse(HOST_CONNECT, 1, 8, HEADER_BYTES, &frame) == FRAME_BAD);
    CHECK(parse(HOST_CLOSE, GUEST_IDS, 0, HEADER_BYTES, &frame) == FRAME_BAD);
    CHECK(parse(HOST_CLOSE, GUEST_IDS, 1, HEADER_BYTES, &frame) == FRAME_PARTIAL);
}

static void types_and_ids(void) {
    struct frame frame;
    for (int type = 0; type < 256; type++) {
        enum frame_result result = parse((uint8_t)type, 1, 4, HEADER_BYTES, &frame);
        bool known = (type >= HOST_EXEC && type <= HOST_CLOSE) || (type >= HOST_PUT && type <= HOST_CONNECT);
        if (!known) CHECK(result == FRAME_BAD);
        CHECK(!frame_opens((uint8_t)type) || known);
    }
    CHECK(parse(HOST_KILL_ALL, 1, 0, HEADER_BYTES, &frame) == FRAME_BAD);
    CHECK(parse(HOST_KILL_ALL, 0, 0, HEADER_BYTES, &frame) == FRAME_WHOLE);
    CHECK(parse(HOST_END, 0, 0, HEADER_BYTES, &frame) == FRAME_BAD);
    CHECK(frame_opens(HOST_EXEC) && frame_opens(HOST_STAT) && !frame_opens(HOST_DATA));
    CHECK(frame_opens(HOST_LISTEN) && frame_opens(HOST_CONNECT) && !frame_opens(HOST_CLOSE));
}

static void cursor_never_runs_over(void) {
    const uint8_t bytes[] = {1, 2, 3, 'a', 0, 'b'};
    struct frame frame = {HOST_STAT, 1, sizeof bytes, bytes};
    struct cursor cursor = cursor_over(&frame);
    CHECK(take_u8(&cursor) == 1 && take_u16(&cursor) == 0x0203);
    CHECK(strcmp(take_text(&cursor), "a") == 0 && !cursor_done(&cursor));
    CHECK(strcmp(take_text(&cursor), "") == 0 && cursor.bad);
    CHECK(take_u8(&cursor) == 0 && !cursor_done(&cursor));
    frame.length = 3;
    cursor = cursor_over(&frame);
    CHECK(take_u32(&cursor) == 0 && cursor.bad);
    cursor = cursor_over(&frame);
    take_u16(&cursor);
    CHECK(!cursor_done(&cursor));
    take_u8(&cursor);
    CHECK(cursor_done(&cursor));
}

static void numbers_are_big_endian(void) {
    uint8_t bytes[15];
    uint8_t *end = put_u64(put_u32(put_u16(put_u8(bytes, 1), 0x0203), 0x04050607), 0x08090a0b0c0d0e0f);
    CHECK(end == bytes + sizeof bytes);
    for (size_t i = 0; i < sizeof bytes; i++) CHECK(bytes[i] == i + 1);
    struct frame frame = {HOST_STAT, 1, 8, bytes + 7};
    struct cursor cursor = cursor_over(&frame);
    CHECK(take_u64(&cursor) == 0x08090a0b0c0d0e0f);
}

int main(void) {
    whole_and_partial();
    lengths_are_bounded_by_type();
    types_and_ids();
    cursor_never_runs_over();
    numbers_are_big_endian();
    puts("test_frame: ok");
    return 0;
}

#include "frame.h"

#include <string.h>

enum id_rule { ID_CALL, ID_NONE };

/* Payload bounds by type; a `max` of zero with `known` unset is a type that does not exist. */
static const struct {
    bool known;
    bool opens;
    enum id_rule id;
    uint32_t min;
    uint32_t max;
} rules[HOST_TYPES] = {
    [HOST_EXEC] = {true, true, ID_CALL, 15, MAX_EXEC_PAYLOAD},
    [HOST_DATA] = {true, false, ID_CALL, 1, MAX_PAYLOAD},
    [HOST_END] = {true, false, ID_CALL, 0, 0},
    [HOST_CREDIT] = {true, false, ID_CALL, 4, 4},
    [HOST_SIGNAL] = {true, false, ID_CALL, 1, 1},
    [HOST_RESIZE] = {true, false, ID_CALL, 4, 4},
    [HOST_KILL_TREE] = {true, false, ID_CALL, 0, 0},
    [HOST_KILL_ALL] = {true, false, ID_NONE, 0, 0},
    [HOST_CANCEL] = {true, false, ID_CALL, 0, 0},
    [HOST_CLOSE] = {true, false, ID_CALL, 1, 1},
    [HOST_PUT] = {true, true, ID_CALL, 5, MAX_PAYLOAD},
    [HOST_GET] = {true, true, ID_CALL, 13, MAX_PAYLOAD},
    [HOST_STAT] = {true, true, ID_CALL, 1, MAX_PAYLOAD},
    [HOST_LIST] = {true, true, ID_CALL, 5, MAX_PAYLOAD},
    [HOST_MKDIR] = {true, true, ID_CALL, 1, MAX_PAYLOAD},
    [HOST_REMOVE] = {true, true, ID_CALL, 1, MAX_PAYLOAD},
    [HOST_RENAME] = {true, true, ID_CALL, 2, MAX_PAYLOAD},
    [HOST_LISTEN] = {true, true, ID_CALL, 6, 4 + 2 * MAX_PORTS},
    [HOST_CONNECT] = {true, true, ID_CALL, 6, 6},
};

enum frame_result frame_next(const uint8_t *bytes, size_t length, struct frame *frame) {
    if (length < HEADER_BYTES) return FRAME_PARTIAL;
    struct cursor header = {bytes, bytes + HEADER_BYTES, false};
    frame->type = take_u8(&header);
    frame->id = take_u32(&header);
    frame->length = take_u32(&header);
    frame->payload = bytes + HEADER_BYTES;
    if (frame->type >= HOST_TYPES || !rules[frame->type].known) return FRAME_BAD;
    if (frame->length < rules[frame->type].min || frame->length > rules[frame->type].max) return FRAME_BAD;
    if ((frame->id == 0) != (rules[frame->type].id == ID_NONE)) return FRAME_BAD;
    return length - HEADER_BYTES < frame->length ? FRAME_PARTIAL : FRAME_WHOLE;
}

bool frame_opens(uint8_t type) {
    return type < HOST_TYPES && rules[type].opens;
}

void frame_header(uint8_t *bytes, uint8_t type, uint32_t id, uint32_t length) {
    put_u32(put_u32(put_u8(bytes, type), id), length);
}

struct cursor cursor_over(const struct frame *frame) {
    return (struct cursor){frame->payload, frame->payload + frame->length, false};
}

static uint64_t take_number(struct cursor *cursor, size_t bytes) {
    if (cursor->bad || (size_t)(cursor->end - cursor->at) < bytes) {
        cursor->bad = true;
        return 0;
    }
    uint64_t value = 0;
    for (size_t i = 0; i < bytes; i++) value = value << 8 | *cursor->at++;
    return value;
}

uint8_t take_u8(struct cursor *cursor) { return (uint8_t)take_number(cursor, 1); }
uint16_t take_u16(struct cursor *cursor) { return (uint16_t)take_number(cursor, 2); }
uint32_t take_u32(struct cursor *cursor) { return (uint32_t)take_number(cursor, 4); }
uint64_t take_u64(struct cursor *cursor) { return take_number(cursor, 8); }

const char *take_text(struct cursor *cursor) {
    const uint8_t *end =
        cursor->bad ? NULL : memchr(cursor->at, 0, (size_t)(cursor->end - cursor->at));
    if (end == NULL) {
        cursor->bad = true;
        return "";
    }
    const char *text = (const char *)cursor->at;
    cursor->at = end + 1;
    return text;
}

bool cursor_done(const struct cursor *cursor) {
    return !cursor->bad && cursor->at == cursor->end;
}

static uint8_t *put_number(uint8_t *at, uint64_t value, size_t bytes) {
    for (size_t i = bytes; i-- > 0; value >>= 8) at[i] = (uint8_t)value;
    return at + bytes;
}

uint8_t *put_u8(uint8_t *at, uint8_t value) { return put_number(at, value, 1); }
uint8_t *put_u16(uint8_t *at, uint16_t value) { return put_number(at, value, 2); }
uint8_t *put_u32(uint8_t *at, uint32_t value) { return put_number(at, value, 4); }
uint8_t *put_u64(uint8_t *at, uint64_t value) { return put_number(at, value, 8); }

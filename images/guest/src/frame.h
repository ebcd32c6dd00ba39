/* The wire: frames of type u8, id u32, length u32 and payload, big endian. PROTOCOL.md holds the table. */
#ifndef GUEST_FRAME_H
#define GUEST_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    PROTOCOL_VERSION = 1,
    HEADER_BYTES = 9,
    MAX_PAYLOAD = 64 * 1024,
    MAX_EXEC_PAYLOAD = 1024 * 1024,
    /* What one read of a program's output may bring: with its header it fits a pipe of 16 pages. */
    DATA_PAYLOAD = 60 * 1024,
    /* Bytes the host may send to one exec or put before it is given more credit. */
    INPUT_WINDOW = 256 * 1024,
    /* The same for one stream. */
    STREAM_WINDOW = 128 * 1024,
    /* What a data frame costs beyond its payload, so that tiny frames cannot pile up in the host. */
    FRAME_COST = 256,
    /* Below this credit nothing is read: crumbs would only waste it. */
    MIN_CREDIT = 4096,
    MAX_CREDIT = 1 << 30,
    MAX_PORTS = 16,
};

/* Ids from here on are given by the guest, to the connections it accepts. */
#define GUEST_IDS 0x80000000u

enum host_frame {
    HOST_EXEC = 0x01,
    HOST_DATA = 0x02,
    HOST_END = 0x03,
    HOST_CREDIT = 0x04,
    HOST_SIGNAL = 0x05,
    HOST_RESIZE = 0x06,
    HOST_KILL_TREE = 0x07,
    HOST_KILL_ALL = 0x08,
    HOST_CANCEL = 0x09,
    HOST_CLOSE = 0x0a,
    HOST_PUT = 0x10,
    HOST_GET = 0x11,
    HOST_STAT = 0x12,
    HOST_LIST = 0x13,
    HOST_MKDIR = 0x14,
    HOST_REMOVE = 0x15,
    HOST_RENAME = 0x16,
    HOST_LISTEN = 0x17,
    HOST_CONNECT = 0x18,
    HOST_TYPES,
};

enum guest_frame {
    GUEST_HELLO = 0x81,
    GUEST_STARTED = 0x82,
    GUEST_STDOUT = 0x83,
    GUEST_STDERR = 0x84,
    GUEST_EOF = 0x85,
    GUEST_EXIT = 0x86,
    GUEST_CREDIT = 0x87,
    GUEST_INPUT_CLOSED = 0x88,
    GUEST_DATA = 0x89,
    GUEST_DONE = 0x8a,
    GUEST_FAILED = 0x8b,
    GUEST_ACCEPTED = 0x8c,
    GUEST_CONNECTED = 0x8d,
    GUEST_END = 0x8e,
    GUEST_CLOSED = 0x8f,
};

/* How the host parts with a stream: what it sent still arrives, or the program sees a reset. */
enum parting { PART_FINISH = 0, PART_RESET = 1 };

/* Which step of a call failed, beside its errno. */
enum stage { STAGE_CALL = 0, STAGE_CWD = 1, STAGE_COMMAND = 2, STAGE_SPAWN = 3 };

struct frame {
    uint8_t type;
    uint32_t id;
    uint32_t length;
    const uint8_t *payload;
};

enum frame_result { FRAME_WHOLE, FRAME_PARTIAL, FRAME_BAD };

/* Reads the frame at the start of `bytes`; a header that breaks a rule is FRAME_BAD before its payload is there. */
enum frame_result frame_next(const uint8_t *bytes, size_t length, struct frame *frame);

/* True for the types that begin a call under an id of their own. */
bool frame_opens(uint8_t type);

void frame_header(uint8_t *bytes, uint8_t type, uint32_t id, uint32_t length);

/* A reader over one payload. Once something is missing `bad` stays set and everything reads as zero. */
struct cursor {
    const uint8_t *at;
    const uint8_t *end;
    bool bad;
};

struct cursor cursor_over(const struct frame *frame);
uint8_t take_u8(struct cursor *cursor);
uint16_t take_u16(struct cursor *cursor);
uint32_t take_u32(struct cursor *cursor);
uint64_t take_u64(struct cursor *cursor);
/* A NUL-terminated text, in place. */
const char *take_text(struct cursor *cursor);
/* True when everything was there and nothing is left over. */
bool cursor_done(const struct cursor *cursor);

uint8_t *put_u8(uint8_t *at, uint8_t value);
uint8_t *put_u16(uint8_t *at, uint16_t value);
uint8_t *put_u32(uint8_t *at, uint32_t value);
uint8_t *put_u64(uint8_t *at, uint64_t value);

#endif

#include "out.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

enum {
    /* Input is no longer read above this, so that only frames of calls already open can follow. */
    CROWDED_BYTES = 32 * 1024,
    QUEUE_BYTES = 128 * 1024,
    DIAGNOSTIC_LINES = 64,
};

static uint8_t queue[QUEUE_BYTES];
static size_t queue_start, queue_end;
static uint8_t slot[HEADER_BYTES + DATA_PAYLOAD];
static size_t slot_start, slot_end;
static bool overflowed;

void out_control(uint8_t type, uint32_t id, const uint8_t *payload, uint32_t length) {
    if (queue_end + HEADER_BYTES + length > QUEUE_BYTES) {
        memmove(queue, queue + queue_start, queue_end - queue_start);
        queue_end -= queue_start;
        queue_start = 0;
    }
    /* Live calls are bounded and each has a bounded number of frames to say, which is less than the queue. */
    if (queue_end + HEADER_BYTES + length > QUEUE_BYTES) {
        diagnose("control queue overflow", 0);
        overflowed = true;
        return;
    }
    frame_header(queue + queue_end, type, id, length);
    if (length > 0) memcpy(queue + queue_end + HEADER_BYTES, payload, length);
    queue_end += HEADER_BYTES + length;
}

void out_failed(uint32_t id, enum stage stage, int error) {
    uint8_t payload[5];
    put_u32(put_u8(payload, (uint8_t)stage), (uint32_t)error);
    out_control(GUEST_FAILED, id, payload, sizeof payload);
}

void out_credit(uint32_t id, uint32_t bytes) {
    uint8_t payload[4];
    put_u32(payload, bytes);
    out_control(GUEST_CREDIT, id, payload, sizeof payload);
}

bool out_idle(void) {
    return slot_start == slot_end && queue_start == queue_end;
}

uint8_t *out_slot(void) {
    return slot + HEADER_BYTES;
}

void out_send_slot(uint8_t type, uint32_t id, uint32_t length) {
    frame_header(slot, type, id, length);
    slot_start = 0;
    slot_end = HEADER_BYTES + length;
}

bool out_crowded(void) {
    return queue_end - queue_start > CROWDED_BYTES;
}

/* Writes one range as far as stdout takes it; false when the reader is gone. */
static bool drain(const uint8_t *bytes, size_t *start, size_t end) {
    while (*start < end) {
        ssize_t written = write(STDOUT_FILENO, bytes + *start, end - *start);
        if (written > 0) *start += (size_t)written;
        else if (written < 0 && errno == EINTR) continue;
        else return written < 0 && errno == EAGAIN;
    }
    return true;
}

bool out_flush(void) {
    if (overflowed || !drain(slot, &slot_start, slot_end)) return false;
    if (slot_start < slot_end) return true;
    if (!drain(queue, &queue_start, queue_end)) return false;
    if (queue_start == queue_end) queue_start = queue_end = 0;
    return true;
}

void diagnose(const char *what, int code) {
    static int lines;
    if (lines++ >= DIAGNOSTIC_LINES) return;
    char line[160] = "guest: ";
    size_t at = strlen(line);
    for (; *what != '\0' && at < sizeof line - 20; what++) line[at++] = *what;
    if (code != 0) {
        char digits[12];
        size_t count = 0;
        for (unsigned rest = (unsigned)code; rest > 0 && count < sizeof digits; rest /= 10)
            digits[count++] = (char)('0' + rest % 10);
        line[at++] = ' ';
        line[at++] = '(';
        while (count > 0) line[at++] = digits[--count];
        line[at++] = ')';
    }
    line[at++] = '\n';
    /* Nothing useful can be done about diagnostics that nobody takes. */
    if (write(STDERR_FILENO, line, at) < 0) return;
}

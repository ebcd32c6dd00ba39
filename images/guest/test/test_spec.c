/* What an exec frame says, and every way it can be said wrong. */
#include <string.h>

#include "../src/spec.h"
#include "check.h"

static struct spec spec;
static char *const base[] = {(char *)"PATH=/bin", (char *)"A=base", NULL};

static bool read_payload(uint8_t flags, uint16_t argc, uint16_t envc, const char *texts, size_t length) {
    uint8_t *payload = malloc(13 + length);
    CHECK(payload != NULL);
    uint8_t *at = put_u16(put_u16(put_u8(payload, flags), 80), 24);
    at = put_u16(put_u16(put_u32(at, 5000), argc), envc);
    memcpy(at, texts, length);
    static uint8_t *last;
    free(last);
    last = payload;
    struct frame frame = {HOST_EXEC, 1, (uint32_t)(13 + length), payload};
    return spec_read(&frame, base, &spec);
}

#define READ(flags, argc, envc, texts) read_payload(flags, argc, envc, texts, sizeof(texts) - 1)

int main(void) {
    CHECK(READ(3, 2, 2, "/w\0sh\0-c\0A=1\0B=\0"));
    CHECK(spec.stdin_pipe && spec.tty && spec.cols == 80 && spec.rows == 24 && spec.credit == 5000);
    CHECK(strcmp(spec.cwd, "/w") == 0 && strcmp(spec.argv[0], "sh") == 0 && strcmp(spec.argv[1], "-c") == 0);
    CHECK(spec.argv[2] == NULL);
    CHECK(strcmp(env_value(spec.env, "A"), "1") == 0 && strcmp(env_value(spec.env, "B"), "") == 0);
    CHECK(strcmp(env_value(spec.env, "PATH"), "/bin") == 0 && env_value(spec.env, "C") == NULL);
    CHECK(spec.env[3] == NULL);

    CHECK(READ(0, 1, 0, "/\0x\0") && !spec.stdin_pipe && !spec.tty);
    CHECK(!READ(4, 1, 0, "/\0x\0"));
    CHECK(!READ(0, 0, 0, "/\0"));
    CHECK(!READ(0, 2, 0, "/\0x\0"));
    CHECK(!READ(0, 1, 1, "/\0x\0"));
    CHECK(!READ(0, 1, 0, "/\0x"));
    CHECK(!READ(0, 1, 0, "/\0x\0y\0"));
    CHECK(!READ(0, 1, 1, "/\0x\0NOSIGN\0"));
    CHECK(!READ(0, 1, 1, "/\0x\0=value\0"));
    CHECK(!READ(0, 0xffff, 0, "/\0x\0"));
    CHECK(!READ(0, 1, 0xffff, "/\0x\0"));
    puts("test_spec: ok");
    return 0;
}

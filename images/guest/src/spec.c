#include "spec.h"

#include <string.h>

static bool same_name(const char *entry, const char *other) {
    size_t name = strcspn(entry, "=");
    return strncmp(entry, other, name) == 0 && other[name] == '=';
}

static bool has_name(char *const *entries, size_t count, const char *entry) {
    for (size_t i = 0; i < count; i++)
        if (same_name(entry, entries[i])) return true;
    return false;
}

/* Puts the base environment behind the exec's own entries, without the names those set. */
static void add_base(char *const *base, char **env, size_t own) {
    size_t count = own;
    for (size_t i = 0; base[i] != NULL && count < 2 * MAX_ENV; i++)
        if (!has_name(env, own, base[i])) env[count++] = base[i];
    env[count] = NULL;
}

bool spec_read(const struct frame *frame, char *const *base, struct spec *spec) {
    struct cursor cursor = cursor_over(frame);
    uint8_t flags = take_u8(&cursor);
    if ((flags & ~(SPEC_STDIN_PIPE | SPEC_TTY)) != 0) return false;
    spec->stdin_pipe = (flags & SPEC_STDIN_PIPE) != 0;
    spec->tty = (flags & SPEC_TTY) != 0;
    spec->cols = take_u16(&cursor);
    spec->rows = take_u16(&cursor);
    spec->credit = take_u32(&cursor);
    size_t argc = take_u16(&cursor);
    size_t envc = take_u16(&cursor);
    if (argc < 1 || argc > MAX_ARGS || envc > MAX_ENV || spec->credit > MAX_CREDIT) return false;
    spec->cwd = take_text(&cursor);
    for (size_t i = 0; i < argc; i++) spec->argv[i] = (char *)(uintptr_t)take_text(&cursor);
    spec->argv[argc] = NULL;
    for (size_t i = 0; i < envc; i++) {
        spec->env[i] = (char *)(uintptr_t)take_text(&cursor);
        const char *sign = strchr(spec->env[i], '=');
        if (sign == NULL || sign == spec->env[i]) return false;
    }
    if (!cursor_done(&cursor)) return false;
    add_base(base, spec->env, envc);
    return true;
}

const char *env_value(char *const *env, const char *name) {
    size_t length = strlen(name);
    for (size_t i = 0; env[i] != NULL; i++)
        if (strncmp(env[i], name, length) == 0 && env[i][length] == '=') return env[i] + length + 1;
    return NULL;
}

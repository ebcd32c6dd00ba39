#define _GNU_SOURCE
#include "files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "listing.h"
#include "out.h"
#include "path.h"
#include "put.h"
#include "remove.h"

enum { MAX_CALLS = 64 };

struct call {
    /* 0: this place is free */
    uint32_t id;
    uint8_t type;
    uint32_t credit;
    union {
        struct put put;
        struct removal removal;
        struct listing listing;
        struct {
            int fd;
            uint64_t left;
        } get;
    };
};

static struct call calls[MAX_CALLS];
static int places;

static struct call *find(uint32_t id) {
    for (int i = 0; i < places; i++)
        if (calls[i].id == id) return &calls[i];
    return NULL;
}

bool files_known(uint32_t id) {
    return find(id) != NULL;
}

static struct call *free_place(void) {
    struct call *call = find(0);
    return call == NULL && places < MAX_CALLS ? &calls[places++] : call;
}

static void answer(uint32_t id, int error) {
    if (error != 0) out_failed(id, STAGE_CALL, error);
    else out_control(GUEST_DONE, id, NULL, 0);
}

static void finish(struct call *call, int error) {
    switch (call->type) {
    case HOST_PUT: put_close(&call->put); break;
    case HOST_GET: close(call->get.fd); break;
    case HOST_LIST: listing_close(&call->listing); break;
    default: remove_close(&call->removal); break;
    }
    answer(call->id, error);
    call->id = 0;
}

static int open_get(const struct place *place, uint64_t max, struct call *call) {
    struct stat info;
    /* Opening a fifo without O_NONBLOCK would wait for its writer. */
    int fd = openat(place->folder, place->name, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_NOCTTY | O_CLOEXEC);
    if (fd < 0) return errno;
    int error = fstat(fd, &info) < 0 ? errno : S_ISDIR(info.st_mode) ? EISDIR : !S_ISREG(info.st_mode) ? EINVAL : 0;
    if (error == 0 && (uint64_t)info.st_size > max) error = EFBIG;
    if (error != 0) {
        close(fd);
        return error;
    }
    call->get.fd = fd;
    call->get.left = max;
    return 0;
}

/* Fills a place with a call that goes on; an errno when it cannot. */
static int open_call(const struct frame *frame, struct cursor *cursor, struct call *call) {
    struct place place;
    uint32_t mode = frame->type == HOST_PUT ? take_u32(cursor) : 0;
    uint64_t max = frame->type == HOST_GET ? take_u64(cursor) : 0;
    call->credit = frame->type == HOST_PUT || frame->type == HOST_REMOVE ? 0 : take_u32(cursor);
    int error = path_walk(take_text(cursor), frame->type == HOST_PUT, &place);
    if (error != 0) return error;
    if (frame->type == HOST_REMOVE) {
        error = place_is_root(&place) ? EBUSY : remove_open(&call->removal, &place);
        if (error != 0) place_close(&place);
        return error;
    }
    if (frame->type == HOST_PUT) error = put_open(&call->put, &place, mode);
    else if (frame->type == HOST_GET) error = open_get(&place, max, call);
    else error = listing_open(&call->listing, &place);
    place_close(&place);
    return error;
}

static int answer_stat(uint32_t id, const char *path) {
    struct place place;
    struct stat info;
    uint8_t entry[STAT_BYTES];
    int error = path_walk(path, false, &place);
    if (error != 0) return error;
    if (fstatat(place.folder, place.name, &info, AT_SYMLINK_NOFOLLOW) < 0) error = errno;
    place_close(&place);
    if (error != 0) return error;
    put_stat(entry, &info);
    out_control(GUEST_DONE, id, entry, sizeof entry);
    return 0;
}

static int make_folder(const char *path) {
    struct place place;
    struct stat info;
    int error = path_walk(path, true, &place);
    if (error != 0) return error;
    if (mkdirat(place.folder, place.name, 0755) < 0) error = errno;
    /* A folder that is there is what was asked for; a file or a link is not. */
    if (error == EEXIST && fstatat(place.folder, place.name, &info, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(info.st_mode))
        error = 0;
    place_close(&place);
    return error;
}

static int rename_entry(const char *from, const char *to) {
    struct place source, target;
    int error = path_walk(from, false, &source);
    if (error != 0) return error;
    error = path_walk(to, false, &target);
    if (error == 0) {
        if (place_is_root(&source) || place_is_root(&target)) error = EBUSY;
        else if (renameat(source.folder, source.name, target.folder, target.name) < 0) error = errno;
        place_close(&target);
    }
    place_close(&source);
    return error;
}

static bool is_well_formed(const struct frame *frame) {
    struct cursor cursor = cursor_over(frame);
    if (frame->type == HOST_PUT || frame->type == HOST_LIST) take_u32(&cursor);
    if (frame->type == HOST_GET) {
        take_u64(&cursor);
        take_u32(&cursor);
    }
    take_text(&cursor);
    if (frame->type == HOST_RENAME) take_text(&cursor);
    return cursor_done(&cursor);
}

bool files_start(const struct frame *frame) {
    if (!is_well_formed(frame)) return false;
    struct cursor cursor = cursor_over(frame);
    if (frame->type == HOST_STAT) {
        int error = answer_stat(frame->id, take_text(&cursor));
        if (error != 0) answer(frame->id, error);
    } else if (frame->type == HOST_MKDIR) {
        answer(frame->id, make_folder(take_text(&cursor)));
    } else if (frame->type == HOST_RENAME) {
        const char *from = take_text(&cursor);
        answer(frame->id, rename_entry(from, take_text(&cursor)));
    } else {
        struct call *call = free_place();
        int error = call == NULL ? EAGAIN : open_call(frame, &cursor, call);
        if (error != 0) {
            answer(frame->id, error);
            return true;
        }
        call->id = frame->id;
        call->type = frame->type;
        return call->credit <= MAX_CREDIT;
    }
    return true;
}

bool files_frame(const struct frame *frame) {
    struct call *call = find(frame->id);
    struct cursor cursor = cursor_over(frame);
    if (frame->type == HOST_CANCEL) {
        finish(call, ECANCELED);
        return true;
    }
    if (call->type == HOST_PUT && frame->type == HOST_DATA) {
        uint32_t credit = 0;
        int error = put_data(&call->put, frame->payload, frame->length, &credit);
        if (error == EPROTO) return false;
        if (error != 0) finish(call, error);
        else if (credit > 0) out_credit(frame->id, credit);
        return true;
    }
    if (call->type == HOST_PUT && frame->type == HOST_END) {
        finish(call, put_finish(&call->put));
        return true;
    }
    if ((call->type != HOST_GET && call->type != HOST_LIST) || frame->type != HOST_CREDIT) return false;
    uint32_t bytes = take_u32(&cursor);
    if (bytes > MAX_CREDIT - call->credit) return false;
    call->credit += bytes;
    return true;
}

static void pump_get(struct call *call) {
    uint32_t room = call->credit - FRAME_COST;
    ssize_t got = read(call->get.fd, out_slot(), room < DATA_PAYLOAD ? room : DATA_PAYLOAD);
    if (got < 0 && errno == EINTR) return;
    if (got <= 0) {
        finish(call, got < 0 ? errno : 0);
    } else if ((uint64_t)got > call->get.left) {
        finish(call, EFBIG);
    } else {
        call->get.left -= (uint64_t)got;
        call->credit -= (uint32_t)got + FRAME_COST;
        out_send_slot(GUEST_DATA, call->id, (uint32_t)got);
    }
}

static void pump_list(struct call *call) {
    uint32_t length = 0;
    int error = listing_next(&call->listing, out_slot(), &length);
    if (error != 0 || length == 0) {
        finish(call, error);
        return;
    }
    call->credit -= length + FRAME_COST;
    out_send_slot(GUEST_DATA, call->id, length);
}

bool files_work(bool may_send) {
    static int turn;
    bool removing = false, ready = false;
    for (int i = 0; i < places; i++) {
        struct call *call = &calls[(turn + i) % places];
        if (call->id == 0 || call->type == HOST_PUT) continue;
        if (call->type == HOST_REMOVE) {
            int error = remove_step(&call->removal);
            if (error != EINPROGRESS) finish(call, error);
            else removing = true;
            continue;
        }
        bool listing = call->type == HOST_LIST;
        if (call->credit < (listing ? LISTING_CREDIT : MIN_CREDIT)) continue;
        ready = true;
        if (!may_send || !out_idle()) continue;
        if (listing) pump_list(call);
        else pump_get(call);
        out_flush();
    }
    turn = places > 0 ? (turn + 1) % places : 0;
    return removing || (ready && out_idle());
}

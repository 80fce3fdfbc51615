/* Many small local files to the host: each is read whole, written to a new file beside its target,
   gets its mode, is closed, and only when all of that was said to be done, renamed. */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sftp/files.h"

enum { NOTHING, OPENING, FILLING, NAMING, TEMP_MODE = 0600 };

/* The whole file, if it is still what it was said to be. */
static bool read_all(int fd, sl_turn *turn) {
  size_t want = (size_t)turn->file->size + 1;
  turn->len = 0;
  for (;;) {
    ssize_t n = read(fd, turn->bytes + turn->len, want - turn->len);
    if (n < 0) return false;
    turn->len += (size_t)n;
    if (n == 0) return turn->len == turn->file->size;
    if (turn->len == want) return false;
  }
}

static void put_work(const sl_files *x, sl_turn *turn) {
  struct stat st;
  int flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | (x->follow ? 0 : O_NOFOLLOW);
  int fd = open(turn->file->local, flags);
  turn->failed = fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || !read_all(fd, turn);
  if (fd >= 0) close(fd);
}

/* Nobody waits for the answer. */
static void put_drop(sl_turn *turn) {
  sl_sftp_client *c = &sl_files_of(turn)->sftp->client;
  sl_sftp_request r = {0};
  sl_err err = {0};
  if (turn->stage == NOTHING || c->err.kind) return;
  sl_sftp_writer w = sl_sftp_ask(c, &r, SL_FXP_REMOVE, SL_WANT_STATUS);
  sl_sftp_put_string(&w, turn->file->temp, strlen(turn->file->temp));
  if (sl_sftp_send(c, &r, &w, &err)) sl_sftp_forget(c, &r);
}

static void put_renamed(sl_sftp_request *r, const sl_sftp_reply *reply) {
  sl_turn *turn = sl_turn_answer(r, reply);
  if (turn->failed) put_drop(turn);
  sl_turn_end(turn);
}

static void put_name(sl_turn *turn) {
  sl_sftp_client *c = &sl_files_of(turn)->sftp->client;
  sl_sftp_request *r = sl_turn_request_new(turn, put_renamed);
  sl_err err = {0};
  sl_sftp_writer w = sl_sftp_ask_extended(c, r, SL_EXT_POSIX_RENAME, SL_WANT_STATUS);
  sl_sftp_put_string(&w, turn->file->temp, strlen(turn->file->temp));
  sl_sftp_put_string(&w, turn->file->to, strlen(turn->file->to));
  turn->stage = NAMING;
  if (!sl_turn_sent(turn, sl_sftp_send(c, r, &w, &err), &err)) sl_turn_end(turn);
}

/* Writing, the mode or closing was answered for. */
static void put_filled(sl_sftp_request *r, const sl_sftp_reply *reply) {
  sl_turn *turn = sl_turn_answer(r, reply);
  if (turn->pending > 0) return;
  if (!turn->failed) {
    put_name(turn);
    return;
  }
  put_drop(turn);
  sl_turn_end(turn);
}

static bool put_write(sl_turn *turn, sl_span handle, size_t at) {
  sl_sftp_client *c = &sl_files_of(turn)->sftp->client;
  size_t left = turn->len - at, n = left < c->write_max ? left : c->write_max;
  sl_sftp_request *r = sl_turn_request_new(turn, put_filled);
  sl_err err = {0};
  sl_sftp_writer w = sl_sftp_ask(c, r, SL_FXP_WRITE, SL_WANT_STATUS);
  sl_sftp_put_string(&w, handle.p, handle.n);
  sl_sftp_put_u64(&w, at);
  sl_sftp_put_string(&w, turn->bytes + at, n);
  return sl_turn_sent(turn, sl_sftp_send(c, r, &w, &err), &err);
}

static bool put_settle(sl_turn *turn, sl_span handle) {
  sl_sftp_client *c = &sl_files_of(turn)->sftp->client;
  const sl_file *f = turn->file;
  sl_sftp_attrs attrs = {.flags = SL_ATTR_MODE, .mode = (uint32_t)f->change};
  sl_sftp_request *r = sl_turn_request_new(turn, put_filled);
  sl_err err = {0};
  if (f->mtime >= 0) {
    attrs.flags |= SL_ATTR_TIMES;
    attrs.atime = attrs.mtime = (uint32_t)f->mtime;
  }
  sl_sftp_writer w = sl_sftp_ask(c, r, SL_FXP_FSETSTAT, SL_WANT_STATUS);
  sl_sftp_put_string(&w, handle.p, handle.n);
  sl_sftp_put_attrs(&w, &attrs);
  return sl_turn_sent(turn, sl_sftp_send(c, r, &w, &err), &err);
}

static bool put_close(sl_turn *turn, sl_span handle) {
  sl_sftp_client *c = &sl_files_of(turn)->sftp->client;
  sl_sftp_request *r = sl_turn_request_new(turn, put_filled);
  sl_err err = {0};
  sl_sftp_writer w = sl_sftp_ask(c, r, SL_FXP_CLOSE, SL_WANT_STATUS);
  sl_sftp_put_string(&w, handle.p, handle.n);
  return sl_turn_sent(turn, sl_sftp_send(c, r, &w, &err), &err);
}

static void put_opened(sl_sftp_request *r, const sl_sftp_reply *reply) {
  sl_turn *turn = sl_turn_answer(r, reply);
  if (turn->failed) {
    turn->stage = NOTHING; /* there is a file of that name, or none: neither is ours */
    sl_turn_end(turn);
    return;
  }
  uint32_t step = sl_files_of(turn)->sftp->client.write_max;
  turn->stage = FILLING;
  bool sent = true;
  for (size_t at = 0; sent && at < turn->len; at += step) sent = put_write(turn, reply->text, at);
  if (sent && turn->file->change >= 0) sent = put_settle(turn, reply->text);
  if (sent) sent = put_close(turn, reply->text);
  if (!sent) sl_sftp_close_handle(&sl_files_of(turn)->sftp->client, reply->text);
  if (turn->pending == 0) sl_turn_end(turn);
}

static void put_begin(sl_turn *turn) {
  sl_sftp_client *c = &sl_files_of(turn)->sftp->client;
  sl_sftp_attrs attrs = {.flags = SL_ATTR_MODE, .mode = TEMP_MODE};
  sl_sftp_request *r = sl_turn_request_new(turn, put_opened);
  sl_err err = {0};
  sl_sftp_writer w = sl_sftp_ask(c, r, SL_FXP_OPEN, SL_WANT_HANDLE);
  sl_sftp_put_string(&w, turn->file->temp, strlen(turn->file->temp));
  sl_sftp_put_u32(&w, SL_FXF_WRITE | SL_FXF_CREAT | SL_FXF_EXCL);
  sl_sftp_put_attrs(&w, &attrs);
  turn->stage = OPENING;
  if (!sl_turn_sent(turn, sl_sftp_send(c, r, &w, &err), &err)) sl_turn_end(turn);
}

static const sl_files_way put_way = {
    .pool_first = true, .work = put_work, .begin = put_begin, .drop = put_drop};

static const sl_op_kind put_kind = {.name = "sftp.put_files",
                                    .push = sl_files_push,
                                    .cancel = sl_files_cancel,
                                    .stop = sl_files_stop,
                                    .clean = sl_files_clean};

/* sftp:put_files(list, follow, done): list has for each file its local path, a new remote path
   beside the target, the target, size, 0, mode (-1: none), mtime (-1: none). done(nil, flags,
   bytes): "1" for each file that is done, "0" for one that is not. */
static int l_put_files(lua_State *L) {
  sl_sftp *s = sl_sftp_check(L, 1);
  luaL_argcheck(L, s->client.extensions & SL_EXT_POSIX_RENAME, 1, "no posix-rename@openssh.com");
  uint64_t most = (uint64_t)s->client.write_max * 2; /* so many requests a turn has */
  return sl_files_start(L, &put_kind, &put_way, most < SL_FILE_MAX ? (uint32_t)most : SL_FILE_MAX);
}

static const luaL_Reg verbs[] = {{"put_files", l_put_files}, {NULL, NULL}};

const luaL_Reg *sl_sftp_put_files_verbs(void) {
  return verbs;
}

/* Many small remote files to this machine: each is asked for whole with one READ of a byte more
   than it should have, and what came is written to a new file beside its target, which is renamed.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sftp/files.h"

static bool write_all(int fd, const unsigned char *bytes, size_t len) {
  while (len > 0) {
    ssize_t n = write(fd, bytes, len);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    bytes += n;
    len -= (size_t)n;
  }
  return true;
}

static bool settle(int fd, const sl_file *f) {
  struct timespec times[2] = {{.tv_sec = f->mtime}, {.tv_sec = f->mtime}};
  if (f->change >= 0 && fchmod(fd, (mode_t)f->change) < 0) return false;
  return f->mtime < 0 || futimens(fd, times) == 0;
}

static void get_work(const sl_files *x, sl_turn *turn) {
  const sl_file *f = turn->file;
  int flags = O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW;
  int fd = open(f->temp, flags, (mode_t)f->create);
  (void)x;
  turn->failed = true;
  if (fd < 0) return;
  bool good = write_all(fd, turn->bytes, turn->len) && settle(fd, f);
  good = close(fd) == 0 && good;
  turn->failed = !good || rename(f->temp, f->to) < 0;
  if (turn->failed) unlink(f->temp);
}

static void part_end(sl_turn *turn) {
  if (turn->pending == 0) sl_turn_end(turn);
}

static void get_read(sl_sftp_request *r, const sl_sftp_reply *reply) {
  sl_turn *turn = ((sl_turn_request *)r)->turn;
  bool empty = reply && reply->type == SL_FXP_STATUS && reply->status == SL_FX_EOF;
  bool failed = turn->failed;
  sl_turn_answer(r, reply);
  turn->len = reply && reply->type == SL_FXP_DATA ? reply->len : 0;
  turn->failed = failed || !(empty || (reply && reply->type == SL_FXP_DATA)) ||
                 turn->len != turn->file->size; /* as it was announced, or it is done alone */
  part_end(turn);
}

/* Nothing that a close could say matters to what has been read. */
static void get_closed(sl_sftp_request *r, const sl_sftp_reply *reply) {
  sl_turn *turn = ((sl_turn_request *)r)->turn;
  bool failed = turn->failed;
  sl_turn_answer(r, reply);
  turn->failed = failed || !reply;
  part_end(turn);
}

static void get_opened(sl_sftp_request *r, const sl_sftp_reply *reply) {
  sl_turn *turn = sl_turn_answer(r, reply);
  sl_sftp_client *c = &sl_files_of(turn)->sftp->client;
  sl_err err = {0};
  if (turn->failed) {
    sl_turn_end(turn);
    return;
  }
  r = sl_turn_request_new(turn, get_read);
  r->data = turn->bytes;
  r->room = turn->file->size + 1;
  if (!sl_turn_sent(turn, sl_sftp_read(c, r, reply->text, 0, &err), &err)) {
    sl_sftp_close_handle(c, reply->text);
    sl_turn_end(turn);
    return;
  }
  r = sl_turn_request_new(turn, get_closed);
  sl_sftp_writer w = sl_sftp_ask(c, r, SL_FXP_CLOSE, SL_WANT_STATUS);
  sl_sftp_put_string(&w, reply->text.p, reply->text.n);
  (void)sl_turn_sent(turn, sl_sftp_send(c, r, &w, &err), &err);
}

static void get_begin(sl_turn *turn) {
  sl_sftp_client *c = &sl_files_of(turn)->sftp->client;
  sl_sftp_attrs attrs = {0};
  sl_sftp_request *r = sl_turn_request_new(turn, get_opened);
  sl_err err = {0};
  sl_sftp_writer w = sl_sftp_ask(c, r, SL_FXP_OPEN, SL_WANT_HANDLE);
  sl_sftp_put_string(&w, turn->file->local, strlen(turn->file->local));
  sl_sftp_put_u32(&w, SL_FXF_READ);
  sl_sftp_put_attrs(&w, &attrs);
  if (!sl_turn_sent(turn, sl_sftp_send(c, r, &w, &err), &err)) sl_turn_end(turn);
}

static const sl_files_way get_way = {.work = get_work, .begin = get_begin};

static const sl_op_kind get_kind = {.name = "sftp.get_files",
                                    .push = sl_files_push,
                                    .cancel = sl_files_cancel,
                                    .stop = sl_files_stop,
                                    .clean = sl_files_clean};

/* sftp:get_files(list, follow, done): list has for each file its remote path, a new local path
   beside the target, the target, size, mode to make it with, mode to give it (-1: none), mtime (-1:
   none). done as for put_files. */
static int l_get_files(lua_State *L) {
  sl_sftp *s = sl_sftp_check(L, 1);
  uint32_t most = s->client.read_max - 1;
  return sl_files_start(L, &get_kind, &get_way, most < SL_FILE_MAX ? most : SL_FILE_MAX);
}

static const luaL_Reg verbs[] = {{"get_files", l_get_files}, {NULL, NULL}};

const luaL_Reg *sl_sftp_get_files_verbs(void) {
  return verbs;
}

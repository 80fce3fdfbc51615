#include "sftp/move.h"

#include <unistd.h>

#include "loop/fs.h"
#include "sftp/call.h"

sl_sftp_move *sl_sftp_move_new(lua_State *L, const sl_op_kind *kind, size_t size, int opts) {
  sl_sftp_handle *h = sl_sftp_handle_check(L, 1);
  int fd = (int)luaL_checkinteger(L, 2);
  lua_Number from = sl_opt_number(L, opts, "from", 0), to = sl_opt_number(L, opts, "to", 0);
  lua_Integer block = sl_opt_integer(L, opts, "block", SL_MOVE_BLOCK);
  lua_Integer blocks = sl_opt_integer(L, opts, "blocks", SL_MOVE_BLOCKS);
  bool sparse = sl_opt_boolean(L, opts, "sparse", false);
  sl_check_done(L, opts + 1);
  luaL_argcheck(L, from >= 0 && to >= 0 && from < 9e15 && to < 9e15, opts, "out of range");
  luaL_argcheck(L, block > 0 && block <= SL_MOVE_BLOCK_MAX, opts, "out of range");
  luaL_argcheck(L, blocks > 0 && blocks <= SL_MOVE_BLOCKS_MAX, opts, "out of range");
  sl_sftp_move *m = sl_op_new(h->sftp->loop, kind, size);
  if (!m) luaL_error(L, "not enough memory");
  m->handle = h;
  h->refs++;
  h->safe = h->moved = 0;
  m->from = (uint64_t)from;
  m->to = (uint64_t)to;
  m->block_len = (size_t)block;
  m->blocks_n = (unsigned)blocks;
  m->sparse = sparse;
  m->fd = sl_sftp_own_fd(&m->op, fd);
  m->now = sl_fs_now_of(m->fd);
  return m;
}

void sl_sftp_move_join(sl_sftp_move *m) {
  if (m->len > SL_SHARE_LEAST) sl_share_join(&m->share, m->op.loop);
}

void sl_sftp_move_failed(sl_sftp_move *m, const sl_err *err) {
  if (!m->op.err.kind) m->op.err = *err;
}

void sl_sftp_move_failed_here(sl_sftp_move *m, int uv_code, const char *what) {
  sl_err err = {0};
  sl_err_uv(&err, SL_IO, uv_code, what);
  sl_sftp_move_failed(m, &err);
}

void sl_sftp_move_done(sl_sftp_move *m, uint64_t bytes) { m->handle->safe = m->done = bytes; }

void sl_sftp_move_clean(sl_sftp_move *m) {
  sl_share_leave(&m->share);
  if (m->fd >= 0) close(m->fd);
  sl_sftp_handle_unref(m->handle);
}

int sl_sftp_move_push(sl_op *op, lua_State *L) {
  const sl_sftp_move *m = (sl_sftp_move *)op;
  sl_fs_push_integer(L, m->done);
  lua_pushboolean(L, m->ended);
  lua_pushboolean(L, m->holes);
  return 3;
}

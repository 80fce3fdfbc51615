/* Encoding and decoding of SFTP packets: plain code over checked lengths. */
#include "sftp/packet.h"

#include <string.h>

/* --- decoding --------------------------------------------------------------------------------- */

enum { ATTR_EXTENDED = 0x80000000u };

static bool skip_extended(sl_reader *r) {
  uint32_t count;
  sl_span type, data;
  if (!sl_get_u32(r, &count) || count > sl_reader_left(r) / 8) return false;
  while (count-- > 0)
    if (!sl_get_string(r, &type) || !sl_get_string(r, &data)) return false;
  return true;
}

bool sl_sftp_get_attrs(sl_reader *r, sl_sftp_attrs *a) {
  uint32_t flags;
  *a = (sl_sftp_attrs){0};
  if (!sl_get_u32(r, &flags)) return false;
  if (flags & SL_ATTR_SIZE && !sl_get_u64(r, &a->size)) return false;
  if (flags & SL_ATTR_OWNER && !(sl_get_u32(r, &a->uid) && sl_get_u32(r, &a->gid))) return false;
  if (flags & SL_ATTR_MODE && !sl_get_u32(r, &a->mode)) return false;
  if (flags & SL_ATTR_TIMES && !(sl_get_u32(r, &a->atime) && sl_get_u32(r, &a->mtime)))
    return false;
  if (flags & ATTR_EXTENDED && !skip_extended(r)) return false;
  a->flags = flags & (SL_ATTR_SIZE | SL_ATTR_OWNER | SL_ATTR_MODE | SL_ATTR_TIMES);
  return true;
}

bool sl_sftp_get_name(sl_reader *r, sl_sftp_name *n) {
  return sl_get_string(r, &n->name) && sl_get_string(r, &n->text) &&
         sl_sftp_get_attrs(r, &n->attrs);
}

bool sl_sftp_get_count(sl_reader *r, uint32_t *count) {
  return sl_get_u32(r, count) && *count <= sl_reader_left(r) / SL_SFTP_ENTRY_MIN;
}

bool sl_sftp_name_is_safe(sl_span n) {
  if (n.n == 0 || sl_span_is(n, ".") || sl_span_is(n, "..")) return false;
  return !memchr(n.p, '/', n.n) && !memchr(n.p, '\0', n.n);
}

/* --- encoding --------------------------------------------------------------------------------- */

static void put(sl_sftp_writer *w, const void *data, size_t len) {
  if (!w->failed && !sl_buf_append(w->out, data, len)) w->failed = true;
}

sl_sftp_writer sl_sftp_begin(sl_buf *out, sl_sftp_type type, uint32_t id) {
  sl_sftp_writer w = {out, sl_buf_len(out), false, false};
  unsigned char head[5] = {0, 0, 0, 0, (unsigned char)type};
  put(&w, head, sizeof head);
  sl_sftp_put_u32(&w, id);
  return w;
}

void sl_sftp_put_u32(sl_sftp_writer *w, uint32_t v) {
  unsigned char b[4];
  sl_put_u32(b, v);
  put(w, b, sizeof b);
}

void sl_sftp_put_u64(sl_sftp_writer *w, uint64_t v) {
  sl_sftp_put_u32(w, (uint32_t)(v >> 32));
  sl_sftp_put_u32(w, (uint32_t)v);
}

void sl_sftp_put_string(sl_sftp_writer *w, const void *data, size_t len) {
  if (len > SL_SFTP_PACKET_MAX) {
    w->failed = w->too_long = true;
    return;
  }
  sl_sftp_put_u32(w, (uint32_t)len);
  put(w, data, len);
}

void sl_sftp_put_attrs(sl_sftp_writer *w, const sl_sftp_attrs *a) {
  sl_sftp_put_u32(w, a->flags);
  if (a->flags & SL_ATTR_SIZE) sl_sftp_put_u64(w, a->size);
  if (a->flags & SL_ATTR_OWNER) {
    sl_sftp_put_u32(w, a->uid);
    sl_sftp_put_u32(w, a->gid);
  }
  if (a->flags & SL_ATTR_MODE) sl_sftp_put_u32(w, a->mode);
  if (a->flags & SL_ATTR_TIMES) {
    sl_sftp_put_u32(w, a->atime);
    sl_sftp_put_u32(w, a->mtime);
  }
}

bool sl_sftp_end(sl_sftp_writer *w) {
  size_t len = sl_buf_len(w->out) - w->at;
  if (!w->failed && len - 4 > SL_SFTP_PACKET_MAX) w->too_long = true;
  if (w->failed || w->too_long) {
    w->out->end -= len;
    return false;
  }
  sl_put_u32((unsigned char *)sl_buf_head(w->out) + w->at, (uint32_t)(len - 4));
  return true;
}

void sl_sftp_write_head(unsigned char *p, uint32_t id, sl_span handle, uint64_t offset,
                        uint32_t len) {
  p = sl_put_u32(p, (uint32_t)(sl_sftp_write_head_len(handle.n) - 4) + len);
  *p++ = SL_FXP_WRITE;
  p = sl_put_u32(p, id);
  p = sl_put_string(p, handle.p, handle.n);
  p = sl_put_u32(p, (uint32_t)(offset >> 32));
  p = sl_put_u32(p, (uint32_t)offset);
  sl_put_u32(p, len);
}

/* --- extensions ------------------------------------------------------------------------------- */

static const struct {
  const char *name, *version;
} extensions[SL_EXT_COUNT] = {
    {"posix-rename@openssh.com", "1"},
    {"statvfs@openssh.com", "2"},
    {"fstatvfs@openssh.com", "2"},
    {"hardlink@openssh.com", "1"},
    {"fsync@openssh.com", "1"},
    {"lsetstat@openssh.com", "1"},
    {"limits@openssh.com", "1"},
    {"expand-path@openssh.com", "1"},
    {"copy-data", "1"},
    {"home-directory", "1"},
    {"users-groups-by-id@openssh.com", "1"},
};

unsigned sl_sftp_ext_of(sl_span name, sl_span data) {
  for (unsigned i = 0; i < SL_EXT_COUNT; i++)
    if (sl_span_is(name, extensions[i].name) && sl_span_is(data, extensions[i].version))
      return 1u << i;
  return 0;
}

const char *sl_sftp_ext_name(unsigned ext) {
  for (unsigned i = 0; i < SL_EXT_COUNT; i++)
    if (ext == 1u << i) return extensions[i].name;
  return NULL;
}

bool sl_sftp_get_limits(sl_reader *r, sl_sftp_limits *l) {
  return sl_get_u64(r, &l->packet) && sl_get_u64(r, &l->read) && sl_get_u64(r, &l->write) &&
         sl_get_u64(r, &l->handles);
}

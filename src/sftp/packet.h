/* Packets of the SSH File Transfer Protocol, version 3 (draft-ietf-secsh-filexfer-02), and
   OpenSSH's extensions (PROTOCOL, section 4): encoded into a byte queue, decoded with every length
   checked. Knows bytes; must not know requests, channels, Lua. */
#ifndef SL_SFTP_PACKET_H
#define SL_SFTP_PACKET_H

#include "base/buf.h"
#include "ssh/data_types.h"

enum { SL_SFTP_VERSION = 3 };

/* Bounds that OpenSSH has, too. */
enum {
  SL_SFTP_PACKET_MAX = 256 * 1024, /* a packet without its length field */
  SL_SFTP_IO_MAX = 261120,         /* bytes of one read or write: a packet of that and 1024 more */
  SL_SFTP_HANDLE_MAX = 256,
  SL_SFTP_ENTRY_MIN = 12 /* two empty strings and the flags of no attributes */
};

typedef enum sl_sftp_type {
  SL_FXP_INIT = 1,
  SL_FXP_VERSION = 2,
  SL_FXP_OPEN = 3,
  SL_FXP_CLOSE = 4,
  SL_FXP_READ = 5,
  SL_FXP_WRITE = 6,
  SL_FXP_LSTAT = 7,
  SL_FXP_FSTAT = 8,
  SL_FXP_SETSTAT = 9,
  SL_FXP_FSETSTAT = 10,
  SL_FXP_OPENDIR = 11,
  SL_FXP_READDIR = 12,
  SL_FXP_REMOVE = 13,
  SL_FXP_MKDIR = 14,
  SL_FXP_RMDIR = 15,
  SL_FXP_REALPATH = 16,
  SL_FXP_STAT = 17,
  SL_FXP_RENAME = 18,
  SL_FXP_READLINK = 19,
  SL_FXP_SYMLINK = 20,
  SL_FXP_STATUS = 101,
  SL_FXP_HANDLE = 102,
  SL_FXP_DATA = 103,
  SL_FXP_NAME = 104,
  SL_FXP_ATTRS = 105,
  SL_FXP_EXTENDED = 200,
  SL_FXP_EXTENDED_REPLY = 201
} sl_sftp_type;

enum { SL_FX_OK = 0, SL_FX_EOF = 1 }; /* the others have names in base/err.c only */

enum {
  SL_FXF_READ = 1,
  SL_FXF_WRITE = 2,
  SL_FXF_APPEND = 4,
  SL_FXF_CREAT = 8,
  SL_FXF_TRUNC = 16,
  SL_FXF_EXCL = 32
};

enum { SL_ATTR_SIZE = 1, SL_ATTR_OWNER = 2, SL_ATTR_MODE = 4, SL_ATTR_TIMES = 8 };

typedef struct sl_sftp_attrs {
  uint32_t flags; /* SL_ATTR_*: which of these are there */
  uint64_t size;
  uint32_t uid, gid, mode, atime, mtime;
} sl_sftp_attrs;

/* One entry of a NAME reply. */
typedef struct sl_sftp_name {
  sl_span name, text; /* text is the line of `ls -l`, for people */
  sl_sftp_attrs attrs;
} sl_sftp_name;

/* Extended pairs are read and dropped. */
bool sl_sftp_get_attrs(sl_reader *r, sl_sftp_attrs *a);
bool sl_sftp_get_name(sl_reader *r, sl_sftp_name *n);
/* A NAME reply's count, which its bytes must be able to hold. */
bool sl_sftp_get_count(sl_reader *r, uint32_t *count);

/* A name that may be one component of a path: not empty, ".", "..", and without "/" and NUL. */
bool sl_sftp_name_is_safe(sl_span name);

/* Writing. A packet is begun, filled and ended; when memory is short it becomes `failed` and ends
   as false, with nothing added. */
typedef struct sl_sftp_writer {
  sl_buf *out;
  size_t at; /* where the packet begins, counted from the queue's head */
  bool failed, too_long;
} sl_sftp_writer;

sl_sftp_writer sl_sftp_begin(sl_buf *out, sl_sftp_type type, uint32_t id);
void sl_sftp_put_u32(sl_sftp_writer *w, uint32_t v);
void sl_sftp_put_u64(sl_sftp_writer *w, uint64_t v);
void sl_sftp_put_string(sl_sftp_writer *w, const void *data, size_t len);
void sl_sftp_put_attrs(sl_sftp_writer *w, const sl_sftp_attrs *a);
bool sl_sftp_end(sl_sftp_writer *w);

/* The bytes of a WRITE packet before its data, for data that lies elsewhere: at most
 * SL_SFTP_WRITE_HEAD. */
enum { SL_SFTP_WRITE_HEAD = 4 + 1 + 4 + 4 + SL_SFTP_HANDLE_MAX + 8 + 4 };
static inline size_t sl_sftp_write_head_len(size_t handle_len) {
  return 25 + handle_len;
}
void sl_sftp_write_head(unsigned char *p, uint32_t id, sl_span handle, uint64_t offset,
                        uint32_t len);

/* What an extension of the VERSION reply is to us; 0: nothing. */
typedef enum sl_sftp_ext {
  SL_EXT_POSIX_RENAME = 1 << 0,
  SL_EXT_STATVFS = 1 << 1,
  SL_EXT_FSTATVFS = 1 << 2,
  SL_EXT_HARDLINK = 1 << 3,
  SL_EXT_FSYNC = 1 << 4,
  SL_EXT_LSETSTAT = 1 << 5,
  SL_EXT_LIMITS = 1 << 6,
  SL_EXT_EXPAND_PATH = 1 << 7,
  SL_EXT_COPY_DATA = 1 << 8,
  SL_EXT_HOME_DIRECTORY = 1 << 9,
  SL_EXT_USERS_GROUPS = 1 << 10
} sl_sftp_ext;

unsigned sl_sftp_ext_of(sl_span name, sl_span data);
const char *sl_sftp_ext_name(unsigned ext); /* of one bit: "fsync@openssh.com" */
enum { SL_EXT_COUNT = 11 };

/* limits@openssh.com; 0 is "not known". */
typedef struct sl_sftp_limits {
  uint64_t packet, read, write, handles;
} sl_sftp_limits;

bool sl_sftp_get_limits(sl_reader *r, sl_sftp_limits *l);

#endif

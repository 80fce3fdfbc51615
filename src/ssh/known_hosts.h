/* known_hosts: which host has which key. Reads, matches and appends the files that sshd(8)
   describes under "SSH_KNOWN_HOSTS FILE FORMAT". It stands between a person and a man in the
   middle, so the rule of the house is: nothing passes that OpenSSH would refuse. Knows files, host
   names and public keys; must not know sessions, policies (ask, accept-new) or Lua.

   A set is filled once and asked often. It belongs to one thread at a time; the writers below may
   run in any thread, learn in the set's. */
#ifndef SL_KNOWN_HOSTS_H
#define SL_KNOWN_HOSTS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "ssh/known_hosts_key.h"

#define SL_KH_NAME_MAX 1000               /* bytes of a host name, "[name]:port" included */
#define SL_KH_LINE_MAX 65536              /* longer lines are reported and can only refuse */
#define SL_KH_FILE_MAX ((size_t)64 << 20) /* larger files are an error */
#define SL_KH_TYPES_MAX 16                /* room for every key type there is */
#define SL_KH_FORMAT_SIZE (SL_KH_NAME_MAX + 128 + SL_KH_BASE64_SIZE(SL_KH_BLOB_MAX))
#define SL_KH_WAIT_MS 5000 /* how long a writer waits for the lock unless told */

typedef struct sl_known_hosts sl_known_hosts;

/* Zero is the refusal, so that a forgotten assignment never passes. Only SL_KH_MATCH may pass. */
typedef enum sl_kh_verdict {
  SL_KH_ERROR = 0, /* no verdict: out of memory, not a host key; *err says which */
  SL_KH_UNKNOWN,   /* no line has a plain key for this host */
  SL_KH_CHANGED,   /* the host is known, with other keys only (of this type or of another) */
  SL_KH_REVOKED,   /* a @revoked line of this host has this key, whatever other lines say */
  SL_KH_MATCH,     /* a plain line of this host has exactly this key */
} sl_kh_verdict;

typedef enum sl_kh_marker { SL_KH_PLAIN = 0, SL_KH_CA, SL_KH_REVOKE } sl_kh_marker;

/* One line that concerns a host. Pointers live as long as the set. */
typedef struct sl_kh_line {
  const char *file;
  unsigned line; /* from 1 */
  sl_kh_marker marker;
  const char *type; /* as written in the line */
  const unsigned char *blob;
  size_t blob_len;
  bool usable; /* false: a line with something wrong about it, which was reported; it never vouches
                  for a key (nor, with @cert-authority, for a certificate), it only refuses */
} sl_kh_line;

typedef struct sl_kh_warning {
  const char *file;
  unsigned line;
  const char *message;
} sl_kh_warning;

sl_known_hosts *sl_known_hosts_new(void); /* NULL: out of memory */
void sl_known_hosts_free(sl_known_hosts *set);

/* Adds a file. 1: read; 0: there is none; -1 and *err: not a regular file, unreadable, over the
   limit, or no memory. After "no memory" the set is not whole and every check ends in SL_KH_ERROR.
 */
int sl_known_hosts_add_file(sl_known_hosts *set, const char *path, sl_err *err);

/* Adds lines from memory; `name` stands for the file in reports. 0 or -1. */
int sl_known_hosts_add_text(sl_known_hosts *set, const char *text, size_t len, const char *name,
                            sl_err *err);

/* Lines that were not understood, in the order read. After a thousand the rest are not listed. */
size_t sl_known_hosts_warnings(const sl_known_hosts *set);
sl_kh_warning sl_known_hosts_warning(const sl_known_hosts *set, size_t i);

/* Has one of the files come, gone or changed since it was read? */
bool sl_known_hosts_stale(const sl_known_hosts *set);

/* All lines whose names match `name` at `port`, in the order read: their number, or -1 and *err.
   Read them with sl_known_hosts_found; the next question to the set forgets them. */
ptrdiff_t sl_known_hosts_lookup(sl_known_hosts *set, const char *name, unsigned port, sl_err *err);
sl_kh_line sl_known_hosts_found(const sl_known_hosts *set, size_t i);

/* The verdict on a key that a host offers. Names at other ports than 22 stand as "[name]:port" in
   files; ssh accepts them by their bare name as well, this does not (but a revocation counts).
   *line is the line it rests on: the equal one, the revoking one, or the offending one (of the same
   type if there is one); untouched for UNKNOWN and ERROR. */
sl_kh_verdict sl_known_hosts_check(sl_known_hosts *set, const char *name, unsigned port,
                                   const unsigned char *blob, size_t blob_len, sl_kh_line *line,
                                   sl_err *err);

/* The verdict on the authority of a certificate that a host offers: MATCH when a @cert-authority
   line of the host, or of its bare name, has the authority's key; REVOKED when a @revoked line has
   it or the certified key; else UNKNOWN. Whether the certificate is good for the host is another
   question: see host_certificate.h. */
sl_kh_verdict sl_known_hosts_check_authority(sl_known_hosts *set, const char *name, unsigned port,
                                             const unsigned char *cert, size_t cert_len,
                                             const unsigned char *ca, size_t ca_len,
                                             sl_kh_line *line, sl_err *err);

/* Is a certificate of this host worth seeing? 1 when an authority is known that may vouch for it,
   or a key is revoked, which may be the authority's; 0, or -1 and *err. */
int sl_known_hosts_wants_certificate(sl_known_hosts *set, const char *name, unsigned port,
                                     sl_err *err);

/* The key types a host could be accepted with, in file order, none twice: what to ask it for.
   Returns their number, or -1 and *err. */
ptrdiff_t sl_known_hosts_types(sl_known_hosts *set, const char *name, unsigned port,
                               const char *types[SL_KH_TYPES_MAX], sl_err *err);

/* Writes the line for a key, without a newline: `name` hashed with a fresh salt if asked for.
   Refuses names that would not be read back as that one name, and anything but a plain key. 0 or
   -1. */
int sl_known_hosts_format(const char *name, unsigned port, const unsigned char *blob,
                          size_t blob_len, bool hashed, char out[SL_KH_FORMAT_SIZE], sl_err *err);

/* Appends a line to a file, which is made (0600, in a directory 0700) if there is none. Under a
   lock that is waited for at most `wait_ms`, and only if no equal line is there. 1: added; 0: was
   there; -1 and *err (kind "timeout" when the lock was not to be had). May sleep and waits for the
   disk. */
int sl_known_hosts_append(const char *path, const char *line, unsigned wait_ms, sl_err *err);

/* As append, but for a key: under the lock the file is asked again. 1: added; 0: the file vouches
   for the key by now; -1 also when it has come to know another key for the host, or revokes this
   one. Two processes that learn a host at once thus agree, hashed or not. `set` (or NULL) answers
   in the file's place if it has read it as it is, and has the new line afterwards. */
int sl_known_hosts_learn(sl_known_hosts *set, const char *path, const char *name, unsigned port,
                         const unsigned char *blob, size_t blob_len, bool hashed, unsigned wait_ms,
                         sl_err *err);

/* Puts `text` in the place of all that a file holds, if it still holds `old`: under the lock, the
   new file synced and moved into place, the old one kept as PATH.old. 1: done; 0: the file is
   another by now; -1 and *err. Only for what a person asks for by name (removing, hashing):
   connections never rewrite. */
int sl_known_hosts_replace(const char *path, const char *old, size_t old_len, const char *text,
                           size_t len, unsigned wait_ms, sl_err *err);

#endif

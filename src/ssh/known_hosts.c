/* A set of known hosts: its life, its files, and the verdict on a key. The law of the verdict is
   OpenSSH's check_key_in_hostkeys; where we differ we refuse more.
   Knows files and keys; must not know the grammar of lines (known_hosts_parse.c) or how names match
   (known_hosts_match.c). */
#include "ssh/known_hosts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ssh/known_hosts_set.h"

static int no_memory(sl_err *err, const char *what) {
  return sl_err_set(err, SL_MEMORY, NULL, 0, "%s: out of memory", what);
}

/* ---- memory ---- */

bool sl_kh_grow(void **at, size_t n, size_t *cap, size_t size) {
  if (n < *cap) return true;
  size_t want = *cap ? *cap * 2 : 16;
  if (want > SIZE_MAX / 2 / size) return false;
  void *p = realloc(*at, want * size);
  if (!p) return false;
  *at = p;
  *cap = want;
  return true;
}

bool sl_kh_list_add(kh_list *list, size_t entry) {
  if (!sl_kh_grow((void **)&list->at, list->n, &list->cap, sizeof *list->at)) return false;
  list->at[list->n++] = (uint32_t)entry;
  return true;
}

sl_known_hosts *sl_known_hosts_new(void) {
  return calloc(1, sizeof(sl_known_hosts));
}

void sl_known_hosts_free(sl_known_hosts *set) {
  if (!set) return;
  for (size_t i = 0; i < set->nfiles; i++) {
    free(set->files[i].path);
    free(set->files[i].text);
  }
  free(set->files);
  free(set->entries);
  free(set->nodes);
  free(set->slots);
  free(set->patterns.at);
  free(set->hashed.at);
  free(set->found.at);
  free(set->notes);
  for (size_t i = 0; i < set->nlearnt; i++) free(set->learnt[i]);
  free(set->learnt);
  sl_kh_memos_free(set);
  EVP_MD_CTX_free(set->sha1);
  free(set);
}

/* ---- files ---- */

static int read_error(sl_err *err, const char *path) {
  char what[200];
  int code = errno;
  snprintf(what, sizeof what, "cannot read %s", path);
  return sl_err_uv(err, SL_IO, -code, what);
}

/* Reads on to the end, not to the size seen first: the file may be growing. */
int sl_kh_read(int fd, const char *path, char **text, size_t *len, sl_err *err) {
  struct stat st;
  *text = NULL;
  *len = 0;
  if (fstat(fd, &st) != 0) return read_error(err, path);
  if (!S_ISREG(st.st_mode))
    return sl_err_set(err, SL_IO, NULL, 0, "cannot read %s: not a regular file", path);
  if ((size_t)st.st_size > SL_KH_FILE_MAX)
    return sl_err_set(err, SL_LIMIT, NULL, 0, "%s is larger than 64 MiB", path);
  size_t cap = (size_t)st.st_size + 2, n = 0;
  char *buf = malloc(cap);
  if (!buf) return no_memory(err, path);
  for (;;) {
    ssize_t got = pread(fd, buf + n, cap - 1 - n, (off_t)n);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) {
      read_error(err, path);
      goto fail;
    }
    n += (size_t)got;
    if (got == 0) break;
    if (n > SL_KH_FILE_MAX) {
      sl_err_set(err, SL_LIMIT, NULL, 0, "%s is larger than 64 MiB", path);
      goto fail;
    }
    if (n == cap - 1) {
      char *more = realloc(buf, cap * 2);
      if (!more) {
        no_memory(err, path);
        goto fail;
      }
      buf = more;
      cap *= 2;
    }
  }
  buf[n] = '\0';
  *text = buf;
  *len = n;
  return 0;
fail:
  free(buf);
  return -1;
}

/* Takes `text` over, also when it fails. */
static int add(sl_known_hosts *set, const char *path, char *text, size_t len,
               const struct stat *seen, sl_err *err) {
  kh_file f = {
      .path = strdup(path), .text = text, .on_disk = seen != NULL, .missing = seen && !text};
  if (seen) f.seen = *seen;
  if (!f.path || !sl_kh_grow((void **)&set->files, set->nfiles, &set->files_cap, sizeof f)) {
    free(f.path);
    free(text);
    set->broken = true;
    return no_memory(err, path);
  }
  set->files[set->nfiles++] = f;
  if (!text || sl_kh_parse(set, set->nfiles - 1, text, len) == 0) return 0;
  set->broken = true;
  return no_memory(err, path);
}

int sl_known_hosts_add_text(sl_known_hosts *set, const char *text, size_t len, const char *name,
                            sl_err *err) {
  if (len > SL_KH_FILE_MAX)
    return sl_err_set(err, SL_LIMIT, NULL, 0, "%s is larger than 64 MiB", name);
  char *copy = malloc(len + 1);
  if (!copy) {
    set->broken = true;
    return no_memory(err, name);
  }
  memcpy(copy, text, len);
  copy[len] = '\0';
  return add(set, name, copy, len, NULL, err);
}

int sl_known_hosts_add_file(sl_known_hosts *set, const char *path, sl_err *err) {
  struct stat seen;
  char *text = NULL;
  size_t len = 0;
  memset(&seen, 0, sizeof seen);
  /* O_NONBLOCK: opening a FIFO must not wait for its writer. */
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
  if (fd < 0 && errno != ENOENT) return read_error(err, path);
  if (fd < 0) return add(set, path, NULL, 0, &seen, err);
  if (fstat(fd, &seen) != 0) {
    read_error(err, path);
    close(fd);
    return -1;
  }
  int rc = sl_kh_read(fd, path, &text, &len, err);
  close(fd);
  if (rc != 0 && err->kind && strcmp(err->kind, SL_MEMORY) == 0) set->broken = true;
  return rc == 0 && add(set, path, text, len, &seen, err) == 0 ? 1 : -1;
}

#ifdef __APPLE__
#define st_mtim st_mtimespec
#define st_ctim st_ctimespec
#endif

static bool same_time(struct timespec a, struct timespec b) {
  return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

static bool same_state(const struct stat *a, const struct stat *b) {
  return a->st_ino == b->st_ino && a->st_dev == b->st_dev && a->st_size == b->st_size &&
         same_time(a->st_mtim, b->st_mtim) && same_time(a->st_ctim, b->st_ctim);
}

bool sl_known_hosts_stale(const sl_known_hosts *set) {
  for (size_t i = 0; i < set->nfiles; i++) {
    const kh_file *f = &set->files[i];
    struct stat now;
    if (!f->on_disk) continue;
    bool gone = stat(f->path, &now) != 0;
    if (gone != f->missing) return true;
    if (!gone && !same_state(&now, &f->seen)) return true;
  }
  return false;
}

/* ---- learning ---- */

kh_file *sl_kh_current_file(sl_known_hosts *set, const char *path, int fd) {
  struct stat now;
  if (set->broken || fstat(fd, &now) != 0) return NULL;
  for (size_t i = 0; i < set->nfiles; i++) {
    kh_file *f = &set->files[i];
    if (f->on_disk && !f->missing && strcmp(f->path, path) == 0)
      return same_state(&now, &f->seen) ? f : NULL;
  }
  return NULL;
}

void sl_kh_take_in(sl_known_hosts *set, kh_file *file, int fd, size_t added, const char *line) {
  struct stat now;
  char *copy;
  if (fstat(fd, &now) != 0 || now.st_size != file->seen.st_size + (off_t)added) return;
  if (!sl_kh_grow((void **)&set->learnt, set->nlearnt, &set->learnt_cap, sizeof *set->learnt))
    return;
  if (!(copy = strdup(line))) return;
  set->learnt[set->nlearnt++] = copy;
  if (sl_kh_parse(set, (size_t)(file - set->files), copy, strlen(copy)) != 0)
    set->broken = true;
  else
    file->seen = now;
}

/* ---- reports ---- */

size_t sl_known_hosts_warnings(const sl_known_hosts *set) {
  return set->nnotes;
}

sl_kh_warning sl_known_hosts_warning(const sl_known_hosts *set, size_t i) {
  const kh_note *n = &set->notes[i];
  return (sl_kh_warning){set->files[n->file].path, n->line, n->message};
}

/* Bounded, because a finalizer of Lua may ask the set anew while a list is being made of it. */
sl_kh_line sl_known_hosts_found(const sl_known_hosts *set, size_t i) {
  if (i >= set->found.n) return (sl_kh_line){.file = "", .type = ""};
  const kh_entry *e = &set->entries[set->found.at[i]];
  return (sl_kh_line){.file = set->files[e->file].path,
                      .line = e->line,
                      .marker = (sl_kh_marker)e->marker,
                      .type = e->type,
                      .blob = e->blob,
                      .blob_len = e->blob_len,
                      .usable = e->usable};
}

/* ---- verdicts ---- */

static bool same_blob(sl_kh_line l, const unsigned char *blob, size_t len) {
  return l.blob_len == len && memcmp(l.blob, blob, len) == 0;
}

/* By value, for revocation; the line's key may be of a kind that we do not know. */
static bool same_key(sl_kh_line l, const unsigned char *blob, size_t len) {
  sl_kh_key_view a, b;
  if (same_blob(l, blob, len)) return true;
  return sl_kh_key_parse(l.blob, l.blob_len, &a) == 0 && sl_kh_key_parse(blob, len, &b) == 0 &&
         sl_kh_key_equal(&a, &b);
}

static bool same_type(sl_kh_line l, const unsigned char *blob, size_t len) {
  size_t n = 0;
  const char *type = sl_kh_key_type(blob, len, &n);
  return type && strlen(l.type) == n && memcmp(l.type, type, n) == 0;
}

/* The line that revokes a key for the host last looked up. */
static bool find_revocation(const sl_known_hosts *set, const unsigned char *blob, size_t len,
                            sl_kh_line *line) {
  for (size_t i = 0; i < set->found.n; i++) {
    sl_kh_line l = sl_known_hosts_found(set, i);
    if (l.marker != SL_KH_REVOKE || !same_key(l, blob, len)) continue;
    *line = l;
    return true;
  }
  return false;
}

/* What the plain lines of the host last looked up say. */
static sl_kh_verdict compare_plain(const sl_known_hosts *set, const unsigned char *blob, size_t len,
                                   sl_kh_line *line) {
  sl_kh_verdict verdict = SL_KH_UNKNOWN;
  bool typed = false; /* *line is of the offered type */
  for (size_t i = 0; i < set->found.n; i++) {
    sl_kh_line l = sl_known_hosts_found(set, i);
    if (l.marker != SL_KH_PLAIN) continue;
    if (l.usable && same_blob(l, blob, len)) {
      *line = l;
      return SL_KH_MATCH;
    }
    if (verdict != SL_KH_UNKNOWN && (typed || !same_type(l, blob, len))) continue;
    verdict = SL_KH_CHANGED;
    typed = same_type(l, blob, len);
    *line = l;
  }
  return verdict;
}

sl_kh_verdict sl_known_hosts_check(sl_known_hosts *set, const char *name, unsigned port,
                                   const unsigned char *blob, size_t blob_len, sl_kh_line *line,
                                   sl_err *err) {
  sl_kh_key_view offered;
  if (blob_len > SL_KH_BLOB_MAX || sl_kh_key_parse(blob, blob_len, &offered) != 0 ||
      !offered.exact) {
    sl_err_set(err, SL_HOSTKEY, NULL, 0, "the host key is malformed or of an unknown type");
    return SL_KH_ERROR;
  }
  if (offered.cert) {
    sl_err_set(err, SL_HOSTKEY, NULL, 0, "the host key is a certificate, not a plain key");
    return SL_KH_ERROR;
  }
  if (sl_known_hosts_lookup(set, name, port, err) < 0) return SL_KH_ERROR;
  if (find_revocation(set, blob, blob_len, line)) return SL_KH_REVOKED;
  sl_kh_verdict verdict = compare_plain(set, blob, blob_len, line);
  if (verdict != SL_KH_UNKNOWN || port == 22) return verdict;
  /* ssh, too, asks about the bare name now. We do not let it vouch for another port, but heed a
     revocation. */
  if (sl_known_hosts_lookup(set, name, 22, err) < 0) return SL_KH_ERROR;
  return find_revocation(set, blob, blob_len, line) ? SL_KH_REVOKED : SL_KH_UNKNOWN;
}

/* ---- authorities ---- */

typedef struct signer {
  const unsigned char *cert, *ca;
  size_t cert_len, ca_len;
} signer;

/* What the lines of the host last looked up say about a certificate; the authority is enough for a
   line to match or to revoke. */
static sl_kh_verdict judge_signer(const sl_known_hosts *set, const signer *s, sl_kh_line *line) {
  if (find_revocation(set, s->cert, s->cert_len, line) ||
      find_revocation(set, s->ca, s->ca_len, line))
    return SL_KH_REVOKED;
  for (size_t i = 0; i < set->found.n; i++) {
    sl_kh_line l = sl_known_hosts_found(set, i);
    if (l.marker != SL_KH_CA || !l.usable || !same_key(l, s->ca, s->ca_len)) continue;
    *line = l;
    return SL_KH_MATCH;
  }
  return SL_KH_UNKNOWN;
}

sl_kh_verdict sl_known_hosts_check_authority(sl_known_hosts *set, const char *name, unsigned port,
                                             const unsigned char *cert, size_t cert_len,
                                             const unsigned char *ca, size_t ca_len,
                                             sl_kh_line *line, sl_err *err) {
  sl_kh_key_view certified, authority;
  signer s = {cert, ca, cert_len, ca_len};
  if (cert_len > SL_KH_BLOB_MAX || sl_kh_key_parse(cert, cert_len, &certified) != 0 ||
      !certified.exact || !certified.cert || sl_kh_key_parse(ca, ca_len, &authority) != 0 ||
      authority.cert) {
    sl_err_set(err, SL_HOSTKEY, NULL, 0, "the host certificate is malformed or of an unknown type");
    return SL_KH_ERROR;
  }
  if (sl_known_hosts_lookup(set, name, port, err) < 0) return SL_KH_ERROR;
  sl_kh_verdict verdict = judge_signer(set, &s, line);
  if (verdict != SL_KH_UNKNOWN || port == 22) return verdict;
  if (sl_known_hosts_lookup(set, name, 22, err) < 0) return SL_KH_ERROR;
  return judge_signer(set, &s, line);
}

static bool concerns_certificates(const sl_known_hosts *set) {
  for (size_t i = 0; i < set->found.n; i++) {
    sl_kh_line l = sl_known_hosts_found(set, i);
    if ((l.marker == SL_KH_CA && l.usable) || l.marker == SL_KH_REVOKE) return true;
  }
  return false;
}

int sl_known_hosts_wants_certificate(sl_known_hosts *set, const char *name, unsigned port,
                                     sl_err *err) {
  if (sl_known_hosts_lookup(set, name, port, err) < 0) return -1;
  if (concerns_certificates(set)) return 1;
  if (port == 22) return 0;
  if (sl_known_hosts_lookup(set, name, 22, err) < 0) return -1;
  return concerns_certificates(set);
}

ptrdiff_t sl_known_hosts_types(sl_known_hosts *set, const char *name, unsigned port,
                               const char *types[SL_KH_TYPES_MAX], sl_err *err) {
  ptrdiff_t n = sl_known_hosts_lookup(set, name, port, err), out = 0;
  for (ptrdiff_t i = 0; i < n && out < SL_KH_TYPES_MAX; i++) {
    sl_kh_line by, l = sl_known_hosts_found(set, (size_t)i);
    if (l.marker != SL_KH_PLAIN || !l.usable) continue;
    ptrdiff_t k = 0;
    while (k < out && strcmp(types[k], l.type) != 0) k++;
    if (k == out && !find_revocation(set, l.blob, l.blob_len, &by)) types[out++] = l.type;
  }
  return n < 0 ? -1 : out;
}

/* The inside of a set of known hosts, shared by its parser, its matcher and its face.
   Knows memory; nobody outside known_hosts*.c includes this. */
#ifndef SL_KNOWN_HOSTS_SET_H
#define SL_KNOWN_HOSTS_SET_H

#include <openssl/evp.h>
#include <stdint.h>
#include <sys/stat.h>

#include "ssh/known_hosts.h"

#define KH_DIGEST 20        /* of SHA-1: salt and hash of a hashed name */
#define KH_PATTERN_MAX 1022 /* OpenSSH gives up a whole line at a longer pattern */

/* A line that concerns keys. Points into its file's text, which parsing turns in place into
   lower-cased names, terminated types and decoded blobs. */
typedef struct kh_entry {
  const char *names; /* the list, lower-cased; when hashed 20 bytes of salt, then 20 of hash */
  const char *type;
  const unsigned char *blob;
  uint32_t names_len, blob_len, file, line;
  unsigned char marker, usable;
} kh_entry;

/* One plain name of an entry. Nodes of equal names are chained, the table holds the heads.
 */
typedef struct kh_node {
  const char *name;
  uint32_t len, entry, next; /* next: node + 1, 0: end */
} kh_node;

typedef struct kh_slot { /* the hash is here so that a miss touches no node */
  uint32_t hash, head;   /* head: node + 1, 0: free */
} kh_slot;

typedef struct kh_file {
  char *path, *text;
  bool on_disk, missing;
  struct stat seen;
  uint32_t lines;
} kh_file;

typedef struct kh_note {
  uint32_t file, line;
  const char *message;
} kh_note;

typedef struct kh_list { /* of entry numbers */
  uint32_t *at;
  size_t n, cap;
} kh_list;

/* Which hashed names are a host's. Every salt costs a hash, and a connection asks several times;
   with a known_hosts of thousands that would be all that a fleet does. */
typedef struct kh_memo {
  char *name; /* NULL: free */
  size_t len;
  size_t scanned; /* so many of set->hashed have been tried */
  kh_list found;
} kh_memo;

#define KH_MEMOS 1024

struct sl_known_hosts {
  kh_file *files;
  size_t nfiles, files_cap;
  kh_entry *entries;
  size_t nentries, entries_cap;
  kh_node *nodes;
  size_t nnodes, nodes_cap;
  kh_slot *slots; /* open addressing, at most half full; the size is a power of two */
  size_t nslots, slots_used;
  kh_list patterns, hashed; /* entries that must be tried one by one */
  kh_list found;            /* by the last lookup, in order */
  kh_memo *memos;           /* KH_MEMOS, at their names' hashes; made for the first hashed name */
  char **learnt;            /* lines that were added after the files had been read */
  size_t nlearnt, learnt_cap;
  kh_note *notes;
  size_t nnotes, notes_cap;
  EVP_MD_CTX *sha1; /* made for the first hashed name */
  bool broken;      /* a line may be missing: never answer */
};

/* Makes room for one more element; false: no memory. */
bool sl_kh_grow(void **at, size_t n, size_t *cap, size_t size);
bool sl_kh_list_add(kh_list *list, size_t entry);

/* Reads all of a regular file into *text, with a NUL behind it; -1 and *err otherwise. */
int sl_kh_read(int fd, const char *path, char **text, size_t *len, sl_err *err);

/* Turns text behind what is known of set->files[file] into entries, which point into it, and notes.
   -1: no memory, or no SHA-1. */
int sl_kh_parse(sl_known_hosts *set, size_t file, char *text, size_t len);

/* The file in which a descriptor stands, if the set has read it as it is now; NULL otherwise. */
kh_file *sl_kh_current_file(sl_known_hosts *set, const char *path, int fd);

/* The set takes in a line that the caller, who holds the file's lock, has just added to it. What
   goes wrong leaves the file to be read again. */
void sl_kh_take_in(sl_known_hosts *set, kh_file *file, int fd, size_t added, const char *line);

void sl_kh_memos_free(sl_known_hosts *set);

/* The name under which a host at a port stands in files. Its length, or -1 and *err. */
ptrdiff_t sl_kh_host(const char *name, unsigned port, char out[SL_KH_NAME_MAX + 1], sl_err *err);

int sl_kh_node_add(sl_known_hosts *set, const char *name, size_t len, size_t entry);
EVP_MD_CTX *sl_kh_sha1_new(void);
int sl_kh_hash(EVP_MD_CTX *sha1, const unsigned char salt[KH_DIGEST], const char *host, size_t len,
               unsigned char out[KH_DIGEST]);

#endif

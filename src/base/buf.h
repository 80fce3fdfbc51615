/* A byte queue: append at the end, take from the front. Memory stays until it is freed. */
#ifndef SL_BUF_H
#define SL_BUF_H

#include <stdbool.h>
#include <stddef.h>

typedef struct sl_buf {
  char *data;
  size_t start, end, size;
} sl_buf;

static inline size_t sl_buf_len(const sl_buf *b) { return b->end - b->start; }
static inline char *sl_buf_head(const sl_buf *b) { return b->data + b->start; }

bool sl_buf_reserve(sl_buf *b, size_t more); /* room for `more` bytes at data + end; false: no memory */
bool sl_buf_append(sl_buf *b, const void *bytes, size_t len);
void sl_buf_take(sl_buf *b, size_t len); /* drops len bytes from the front */
void sl_buf_free(sl_buf *b);

#endif

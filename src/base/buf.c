#include "base/buf.h"

#include <stdlib.h>
#include <string.h>

enum { SMALLEST = 4096 };

bool sl_buf_reserve(sl_buf *b, size_t more) {
  if (b->size - b->end >= more) return true;
  size_t len = sl_buf_len(b);
  if (b->start >= len && b->size >= len + more) { /* the hole in front is large enough to move into */
    memcpy(b->data, b->data + b->start, len);
  } else {
    size_t size = b->size ? b->size : SMALLEST;
    while (size < len + more) size *= 2;
    char *data = malloc(size);
    if (!data) return false;
    if (len) memcpy(data, b->data + b->start, len);
    free(b->data);
    b->data = data;
    b->size = size;
  }
  b->start = 0;
  b->end = len;
  return true;
}

bool sl_buf_append(sl_buf *b, const void *bytes, size_t len) {
  if (len == 0) return true;
  if (!sl_buf_reserve(b, len)) return false;
  memcpy(b->data + b->end, bytes, len);
  b->end += len;
  return true;
}

void sl_buf_take(sl_buf *b, size_t len) {
  b->start += len;
  if (b->start == b->end) b->start = b->end = 0;
}

void sl_buf_free(sl_buf *b) {
  free(b->data);
  *b = (sl_buf){0};
}

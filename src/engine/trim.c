/* A quiet session gives memory back. libssh2 keeps two packet buffers of 35,000 bytes and a banner of 8,192 inside each
   session; while nothing is half received they hold nothing, so the kernel may have their pages. The next packet gets
   them back, zeroed. */
#include "engine/engine.h"

#ifdef SL_LIBSSH2_STATIC

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "libssh2_priv.h"

enum { QUIET_MS = 400 };

/* One timer per session costs less than a list: it is started once and looks again only while there was traffic. */
struct sl_trim {
  uv_timer_t timer;
  sl_engine *engine;
};

static void give_back(unsigned char *from, unsigned char *to) {
  uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
  uintptr_t first = ((uintptr_t)from + page - 1) & ~(page - 1);
  uintptr_t last = (uintptr_t)to & ~(page - 1);
  if (last > first) (void)madvise((void *)first, last - first, MADV_DONTNEED);
}

static void trim(sl_engine *e) {
  LIBSSH2_SESSION *s = e->raw;
  struct transportpacket *p = &s->packet;
  if (p->writeidx == p->readidx) {
    p->writeidx = p->readidx = 0;
    give_back(p->buf, p->buf + sizeof p->buf);
  }
  if (sl_buf_len(&e->wire.out) == 0) sl_buf_free(&e->wire.out);
  if (sl_buf_len(&e->in) == 0) sl_buf_free(&e->in);
  if (!p->odata) give_back(p->outbuf, p->outbuf + sizeof p->outbuf);
  give_back((unsigned char *)s->banner_TxRx_banner,
            (unsigned char *)s->banner_TxRx_banner + sizeof s->banner_TxRx_banner);
}

static void trim_due(uv_timer_t *t) {
  sl_engine *e = ((struct sl_trim *)t->data)->engine;
  uint64_t quiet = uv_now(&e->loop->uv) - e->last_heard;
  if (quiet < QUIET_MS) {
    uv_timer_start(t, trim_due, QUIET_MS - quiet, 0);
    return;
  }
  e->trim_pending = false;
  if (sl_engine_alive(e) && e->wire.authenticated) trim(e);
}

void sl_trim_touch(sl_engine *e) {
  if (e->trim_pending || !e->wire.authenticated || !sl_engine_alive(e)) return;
  if (!e->trim) {
    e->trim = calloc(1, sizeof *e->trim);
    if (!e->trim) return;
    e->trim->engine = e;
    uv_timer_init(&e->loop->uv, &e->trim->timer);
    e->trim->timer.data = e->trim;
    uv_unref((uv_handle_t *)&e->trim->timer);
  }
  e->trim_pending = true;
  uv_timer_start(&e->trim->timer, trim_due, QUIET_MS, 0);
}

static void trim_closed(uv_handle_t *h) { free(h->data); }

void sl_trim_forget(sl_engine *e) {
  if (!e->trim) return;
  uv_close((uv_handle_t *)&e->trim->timer, trim_closed);
  e->trim = NULL;
}

#else

void sl_trim_touch(sl_engine *e) { (void)e; }
void sl_trim_forget(sl_engine *e) { (void)e; }

#endif

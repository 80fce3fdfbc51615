/* libssh2's memory. Until a session is authenticated everything that libssh2 frees is wiped first:
   its packets hold passwords and answers, its key exchange holds what becomes keys, and it wipes
   next to nothing itself. Later ones are freed as they are. The memory is malloc's: what is ours
   may be handed over, and the other way round. */
#ifndef SL_MEMORY_H
#define SL_MEMORY_H

#include <stddef.h>

/* For libssh2_session_init_ex; *abstract is the sl_engine. */
void *sl_memory_alloc(size_t size, void **abstract);
void *sl_memory_realloc(void *p, size_t size, void **abstract);
void sl_memory_free(void *p, void **abstract);

#endif

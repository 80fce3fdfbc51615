# One switch for every object that is built here, libssh2 included: a sanitizer that sees half the objects
# misses overflows between the halves. -DSSHLUA_SANITIZE=address,undefined (leaks come with address).
if(SSHLUA_SANITIZE)
  set(SSHLUA_SANITIZER_FLAGS -fsanitize=${SSHLUA_SANITIZE} -fno-omit-frame-pointer)
  if(SSHLUA_SANITIZE MATCHES "undefined")
    list(APPEND SSHLUA_SANITIZER_FLAGS -fno-sanitize-recover=undefined)
  endif()
  add_compile_options(${SSHLUA_SANITIZER_FLAGS})
  add_link_options(${SSHLUA_SANITIZER_FLAGS})
endif()

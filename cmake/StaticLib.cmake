# libsshlua.a: one object that holds our core, the embedded Lua sources and libssh2. It is linked with -r so that
# the wraps are resolved inside it, and its hidden symbols are made local, so that a program that has its own
# libssh2 (libcurl, libgit2) and one that knows nothing of wraps can both link it.
set(object "${CMAKE_BINARY_DIR}/sshlua_all.o")
set(archive "${CMAKE_BINARY_DIR}/libsshlua.a")
set(localize)
if(CMAKE_OBJCOPY AND NOT APPLE)
  set(localize COMMAND ${CMAKE_OBJCOPY} --localize-hidden "${object}")
endif()
set(libssh2_archive)
set(libssh2_link)
if(TARGET libssh2_static)
  set(libssh2_archive libssh2_static)
  set(libssh2_link -Wl,--whole-archive $<TARGET_FILE:libssh2_static> -Wl,--no-whole-archive)
  if(APPLE)
    set(libssh2_link -Wl,-all_load $<TARGET_FILE:libssh2_static>)
  endif()
endif()
add_custom_command(OUTPUT "${archive}"
  COMMAND ${CMAKE_C_COMPILER} -r -nostdlib -o "${object}"
    $<TARGET_OBJECTS:sshlua_core> $<TARGET_OBJECTS:sshlua_embedded> ${libssh2_link} ${SSHLUA_WRAPS}
  ${localize}
  COMMAND ${CMAKE_COMMAND} -E rm -f "${archive}"
  COMMAND ${CMAKE_AR} qc "${archive}" "${object}"
  COMMAND ${CMAKE_RANLIB} "${archive}"
  DEPENDS sshlua_core sshlua_embedded $<TARGET_OBJECTS:sshlua_core> $<TARGET_OBJECTS:sshlua_embedded> ${libssh2_archive}
  COMMENT "Linking libsshlua.a" VERBATIM COMMAND_EXPAND_LISTS)
add_custom_target(sshlua_static ALL DEPENDS "${archive}")

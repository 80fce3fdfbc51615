# What `cmake --install` lays down, by component: the program, its manual page and completions (shell), the module for each
# Lua, the library with its header and .pc file. The rockspec takes program and module only and says where modules go.
set(SSHLUA_INSTALL_LMOD share/lua/5.4 CACHE STRING "Where Lua 5.4 modules written in Lua go")
set(SSHLUA_INSTALL_CMOD lib/lua/5.4 CACHE STRING "Where Lua 5.4 modules written in C go")

if(TARGET sshlua)
  install(TARGETS sshlua RUNTIME DESTINATION "${CMAKE_INSTALL_BINDIR}" COMPONENT program)
  add_custom_command(OUTPUT "${CMAKE_BINARY_DIR}/sshlua.1"
    COMMAND ${CMAKE_COMMAND} -E env ASAN_OPTIONS=detect_leaks=0 $<TARGET_FILE:sshlua>
      "${CMAKE_SOURCE_DIR}/tools/manpage.lua" >"${CMAKE_BINARY_DIR}/sshlua.1"
    DEPENDS sshlua "${CMAKE_SOURCE_DIR}/tools/manpage.lua" COMMENT "Writing sshlua.1")
  add_custom_target(manpage ALL DEPENDS "${CMAKE_BINARY_DIR}/sshlua.1")
  install(FILES "${CMAKE_BINARY_DIR}/sshlua.1" DESTINATION "${CMAKE_INSTALL_MANDIR}/man1" COMPONENT shell)
  install(FILES tools/completion/sshlua.bash DESTINATION "${CMAKE_INSTALL_DATADIR}/bash-completion/completions"
    RENAME sshlua COMPONENT shell)
  install(FILES tools/completion/_sshlua DESTINATION "${CMAKE_INSTALL_DATADIR}/zsh/site-functions" COMPONENT shell)
  install(FILES tools/completion/sshlua.fish DESTINATION "${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d"
    COMPONENT shell)
endif()
if(NOT TARGET core)
  return()
endif()

install(DIRECTORY lua/sshlua DESTINATION "${SSHLUA_INSTALL_LMOD}" COMPONENT module)
install(TARGETS core LIBRARY DESTINATION "${SSHLUA_INSTALL_CMOD}/sshlua" COMPONENT module)
if(TARGET core_luajit)
  install(DIRECTORY lua/sshlua DESTINATION share/lua/5.1 COMPONENT module_luajit)
  install(TARGETS core_luajit LIBRARY DESTINATION lib/lua/5.1/sshlua COMPONENT module_luajit)
endif()

install(FILES "${CMAKE_BINARY_DIR}/libsshlua.a" DESTINATION "${CMAKE_INSTALL_LIBDIR}" COMPONENT devel)
if(EXISTS "${CMAKE_SOURCE_DIR}/src/sshlua.h")
  install(FILES src/sshlua.h DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}" COMPONENT devel)
endif()
set(requires "libuv >= 1.40, libcrypto")
if(SSHLUA_JSON)
  string(APPEND requires ", jansson")
endif()
if(LIBYAML_FOUND)
  string(APPEND requires ", yaml-0.1")
endif()
if(SSHLUA_LIBSSH2 STREQUAL "system")
  string(APPEND requires ", libssh2 >= 1.11")
else()
  string(APPEND requires ", zlib")
endif()
# Relative to the .pc file, so that an installed tree can be moved.
file(RELATIVE_PATH prefix_from_pc "/${CMAKE_INSTALL_LIBDIR}/pkgconfig" "/")
string(REGEX REPLACE "/$" "" prefix_from_pc "${prefix_from_pc}")
configure_file(cmake/sshlua.pc.in sshlua.pc @ONLY)
install(FILES "${CMAKE_BINARY_DIR}/sshlua.pc" DESTINATION "${CMAKE_INSTALL_LIBDIR}/pkgconfig" COMPONENT devel)

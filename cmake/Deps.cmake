# Everything we stand on except libssh2. Leaves behind:
#   lua_headers, luajit_headers   include directories only: a Lua C module must not bring its own Lua
#   lua_library                   liblua for the C tests
#   lua_program                   liblua for the program, with the Lua C API (and nothing else) exported
#   SSHLUA_CORE_LIBS, SSHLUA_FEATURES, SSHLUA_HOST_LIBS, SSHLUA_HOST_FEATURES
find_package(PkgConfig REQUIRED)
find_package(OpenSSL 3.0 REQUIRED COMPONENTS Crypto)
find_package(Threads REQUIRED)
pkg_check_modules(LIBUV REQUIRED IMPORTED_TARGET libuv>=1.40)
option(SSHLUA_JSON "ssh.json (needs jansson)" ON)
option(SSHLUA_YAML "YAML inventories (libyaml, used when found)" ON)
option(SSHLUA_EDIT "Line editing in the REPL (libedit, used when found)" ON)
option(SSHLUA_LUV "require \"luv\" on the program's own loop (luv, used when found)" ON)

set(SSHLUA_CORE_LIBS PkgConfig::LIBUV OpenSSL::Crypto Threads::Threads)
set(SSHLUA_FEATURES)
set(SSHLUA_HOST_LIBS)
set(SSHLUA_HOST_FEATURES)
if(SSHLUA_JSON)
  pkg_check_modules(JANSSON REQUIRED IMPORTED_TARGET jansson>=2.10)
  list(APPEND SSHLUA_CORE_LIBS PkgConfig::JANSSON)
  list(APPEND SSHLUA_FEATURES SL_HAVE_JANSSON=1)
endif()
if(SSHLUA_YAML)
  pkg_check_modules(LIBYAML IMPORTED_TARGET yaml-0.1)
  if(LIBYAML_FOUND)
    list(APPEND SSHLUA_CORE_LIBS PkgConfig::LIBYAML)
    list(APPEND SSHLUA_FEATURES SL_HAVE_YAML=1)
  endif()
endif()

# ---- Lua 5.4
pkg_search_module(LUA REQUIRED lua5.4 lua-5.4 lua54 lua5.4-c lua>=5.4)
if(NOT LUA_VERSION MATCHES "^5\\.4")
  message(FATAL_ERROR "sshlua needs Lua 5.4 for the program; pkg-config offers ${LUA_VERSION}")
endif()
add_library(lua_headers INTERFACE)
target_include_directories(lua_headers SYSTEM INTERFACE ${LUA_INCLUDE_DIRS})

# A static liblua starts faster and travels as one file. Its archive must hold position-independent code.
find_library(LUA_ARCHIVE NAMES liblua5.4.a liblua-5.4.a liblua54.a liblua.a
  HINTS ${LUA_LIBDIR} ${LUA_LIBRARY_DIRS} PATH_SUFFIXES lua5.4)
mark_as_advanced(LUA_ARCHIVE)
if(SSHLUA_STATIC_LUA AND LUA_ARCHIVE AND NOT APPLE)
  include(CheckCSourceCompiles)
  set(CMAKE_REQUIRED_INCLUDES ${LUA_INCLUDE_DIRS})
  set(CMAKE_REQUIRED_LIBRARIES ${LUA_ARCHIVE} m ${CMAKE_DL_LIBS})
  check_c_source_compiles("
    #include <lua.h>
    #include <lauxlib.h>
    int main(void) { return luaL_newstate() == 0; }" SSHLUA_LUA_ARCHIVE_LINKS)
  unset(CMAKE_REQUIRED_INCLUDES)
  unset(CMAKE_REQUIRED_LIBRARIES)
endif()
add_library(lua_library INTERFACE)
add_library(lua_program INTERFACE)
target_link_libraries(lua_library INTERFACE lua_headers)
target_link_libraries(lua_program INTERFACE lua_headers)
if(SSHLUA_LUA_ARCHIVE_LINKS)
  target_link_libraries(lua_library INTERFACE ${LUA_ARCHIVE} m ${CMAKE_DL_LIBS})
  # Whole, because Lua C modules call functions that the program itself does not.
  target_link_libraries(lua_program INTERFACE
    -Wl,--whole-archive ${LUA_ARCHIVE} -Wl,--no-whole-archive m ${CMAKE_DL_LIBS})
  target_link_options(lua_program INTERFACE
    "-Wl,--dynamic-list=${CMAKE_CURRENT_LIST_DIR}/lua_api.list")
  set(SSHLUA_LUA_LINKAGE static)
else()
  # The shared liblua exports the API itself; the program exports nothing.
  pkg_search_module(LUA_SHARED REQUIRED IMPORTED_TARGET lua5.4 lua-5.4 lua54 lua5.4-c lua>=5.4)
  target_link_libraries(lua_library INTERFACE PkgConfig::LUA_SHARED m ${CMAKE_DL_LIBS})
  target_link_libraries(lua_program INTERFACE PkgConfig::LUA_SHARED m ${CMAKE_DL_LIBS})
  set(SSHLUA_LUA_LINKAGE shared)
endif()

# ---- LuaJIT, for the second module only
if(NOT SSHLUA_LUAJIT STREQUAL "OFF")
  pkg_search_module(LUAJIT luajit)
  if(LUAJIT_FOUND)
    add_library(luajit_headers INTERFACE)
    target_include_directories(luajit_headers SYSTEM INTERFACE ${LUAJIT_INCLUDE_DIRS})
  elseif(NOT SSHLUA_LUAJIT STREQUAL "AUTO")
    message(FATAL_ERROR "SSHLUA_LUAJIT is ${SSHLUA_LUAJIT} but pkg-config knows no luajit (Debian: libluajit-5.1-dev)")
  endif()
endif()

# ---- optional, program only
if(SSHLUA_EDIT)
  pkg_check_modules(LIBEDIT IMPORTED_TARGET libedit)
  if(LIBEDIT_FOUND)
    list(APPEND SSHLUA_HOST_LIBS PkgConfig::LIBEDIT)
    list(APPEND SSHLUA_HOST_FEATURES SL_HAVE_EDIT=1)
  endif()
endif()
if(SSHLUA_LUV)
  pkg_search_module(LUV IMPORTED_TARGET lua5.4-luv lua-5.4-luv)
  if(LUV_FOUND)
    find_library(LUV_ARCHIVE NAMES liblua5.4-luv.a HINTS ${LUV_LIBDIR} ${LUV_LIBRARY_DIRS})
    mark_as_advanced(LUV_ARCHIVE)
    if(LUV_ARCHIVE AND SSHLUA_LUA_ARCHIVE_LINKS)
      list(APPEND SSHLUA_HOST_LIBS ${LUV_ARCHIVE})
    else()
      list(APPEND SSHLUA_HOST_LIBS PkgConfig::LUV)
    endif()
    list(APPEND SSHLUA_HOST_FEATURES SL_HAVE_LUV=1)
  endif()
endif()

# ---- the C library and the linker
# makecontext is a declaration without a body on musl and deprecated on macOS: no fibres there.
include(CheckSymbolExists)
if(NOT APPLE)
  check_symbol_exists(makecontext ucontext.h SSHLUA_HAVE_UCONTEXT)
endif()
if(SSHLUA_HAVE_UCONTEXT)
  list(APPEND SSHLUA_FEATURES SL_UCONTEXT=1)
endif()

# Archives linked into the program or a module stay its private matter, whatever their own visibility.
include(CheckLinkerFlag)
check_linker_flag(C "-Wl,--exclude-libs,ALL" SSHLUA_LD_EXCLUDE_LIBS)
function(sshlua_hide_archives target)
  get_target_property(type ${target} TYPE)
  if(SSHLUA_LD_EXCLUDE_LIBS AND NOT type STREQUAL "EXECUTABLE")
    target_link_options(${target} PRIVATE "-Wl,--exclude-libs,ALL")
  endif()
endfunction()
